"""VGG16 as an encoder: one picture in, five feature maps out."""

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from torch import nn

from segkit.errors import UserError
from segkit.models.encoders.features import Channels, normalisation, run_features, with_input_channels

EncoderName = Literal["vgg16", "vgg16_bn"]

CLASSIFIER_WIDTH = 4096
"""Width of the two hidden layers of torchvision's classifier, which become fc6 and fc7."""


_WIDTHS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels, and how many convolutions, from one pooling to the next: configuration D of Simonyan and Zisserman 2015."""


def _layers(batch_norm: bool) -> nn.Sequential:
    """The layers of torchvision's ``vgg16(_bn)().features``, at the same positions."""
    layers: list[nn.Module] = []
    channels = 3
    for width, count in _WIDTHS:
        for _ in range(count):
            layers.append(nn.Conv2d(channels, width, 3, padding=1))
            layers += [nn.BatchNorm2d(width)] if batch_norm else []
            layers.append(nn.ReLU(inplace=True))
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class VGGEncoder(nn.Sequential):
    """torchvision's VGG16 without its classifier, and fc6 and fc7 as convolutions (Long, Shelhamer, Darrell 2015).

    The children are the layers in the order in which they are applied: ``features`` (itself a sequence of
    convolution, batch normalisation if any, ReLU, and pooling at the end of each block), and with ``fc_channels`` then
    fc6, norm6 if any, relu6, dropout6, fc7, norm7 if any, relu7, dropout7. A layer may be exchanged for another; one
    that does the work of those after it leaves `nn.Identity` in their places, since feature maps are known by place.

    Args:
        name: ``vgg16`` or ``vgg16_bn``, torchvision's names.
        fc_channels: width of fc6 and fc7; ``None`` leaves both out. Only 4096 can take weights from a classifier.
        dropout: probability with which a single value (not a whole channel) is dropped after fc6 and after fc7.
        batch_norm_fc: whether fc6 and fc7 have batch normalisation between convolution and ReLU.
        in_channels: channels of the input.

    Attributes:
        channels: of the feature maps, ``[64, 128, 256, 512, fc_channels or 512]``.
        strides: of the feature maps, ``[2, 4, 8, 16, 32]``.
        mean, std: of the pictures that torchvision's weights were trained on, for values 0…1.

    All convolutions start as torchvision starts its own: Kaiming normal over the fan-out, biases zero.
    """

    def __init__(
        self,
        name: EncoderName,
        fc_channels: Channels | None = None,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.2,
        batch_norm_fc: bool = False,
        in_channels: Channels = 3,
    ) -> None:
        super().__init__()
        if batch_norm_fc and fc_channels is None:
            raise UserError("model.batch_norm_fc=true is of fc6 and fc7, which model.fc_channels=null leaves out")
        self.name = name
        self.in_channels = in_channels
        self.mean, self.std = normalisation(in_channels)
        self.fc_channels = fc_channels
        self.channels = [64, 128, 256, 512, 512 if fc_channels is None else fc_channels]
        self.strides = [2, 4, 8, 16, 32]
        # On the meta device nothing is drawn yet; all weights are, below.
        with torch.device("meta"):
            features = _layers(batch_norm=name == "vgg16_bn")
            with_input_channels(features, in_channels)
        self.features: nn.Sequential = features.to_empty(device=torch.get_default_device())
        self._pools = [i for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
        if fc_channels is not None:
            for number, width, kernel in ((6, 512, 7), (7, fc_channels, 1)):
                self.add_module(f"fc{number}", nn.Conv2d(width, fc_channels, kernel, padding=kernel // 2))
                if batch_norm_fc:
                    self.add_module(f"norm{number}", nn.BatchNorm2d(fc_channels))
                self.add_module(f"relu{number}", nn.ReLU(inplace=True))
                self.add_module(f"dropout{number}", nn.Dropout(dropout))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of a batch of pictures.

        Args:
            image: float (B, in_channels, H, W), normalised with `mean` and `std`; H and W multiples of 32.

        Returns:
            pool1 (B, 64, H/2, W/2), pool2 (B, 128, H/4, W/4), pool3 (B, 256, H/8, W/8), pool4 (B, 512, H/16, W/16)
            and the top (B, channels[4], H/32, W/32): fc7's activations, or pool5's where ``fc_channels`` is ``None``.
        """
        *pools, top = run_features(self.features, self._pools, image)
        for layer in list(self)[1:]:
            top = layer(top)
        return [*pools, top]

    def sources(self, names: Iterable[str]) -> dict[str, str]:
        """Own names, and for each torchvision's: fc6 and fc7, if 4096 wide, are in its classifier."""
        sources = {}
        for key in self.state_dict():
            layer, _, kind = key.partition(".")
            if layer == "features":
                sources[key] = key
            elif layer in _CLASSIFIER and self.fc_channels == CLASSIFIER_WIDTH:
                sources[key] = f"{_CLASSIFIER[layer]}.{kind}"
        return sources


_CLASSIFIER = {"fc6": "classifier.0", "fc7": "classifier.3"}
