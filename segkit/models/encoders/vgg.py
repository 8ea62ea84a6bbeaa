"""VGG16 as an encoder: one picture in, three feature maps out."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn
from torchvision import models

from segkit.errors import UserError

EncoderName = Literal["vgg16", "vgg16_bn"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""RGB mean, for values 0…1, under which torchvision trained its weights."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""RGB standard deviation, for values 0…1, under which torchvision trained its weights."""

CLASSIFIER_WIDTH = 4096
"""Width of the two hidden layers of torchvision's classifier, which become fc6 and fc7."""


class VGGEncoder(nn.Module):
    """torchvision's VGG16 without its classifier, and fc6 and fc7 as convolutions (Long, Shelhamer, Darrell 2015).

    Args:
        name: ``vgg16`` or ``vgg16_bn``, torchvision's names.
        fc_channels: width of fc6 and fc7; ``None`` leaves both out. Only 4096 can take weights from a classifier.
        dropout: probability with which a single value (not a whole channel) is dropped after fc6 and after fc7.

    Attributes:
        channels: channel counts of the three feature maps, ``[256, 512, fc_channels or 512]``.

    All convolutions start as torchvision starts its own: Kaiming normal over the fan-out, biases zero.
    """

    def __init__(self, name: EncoderName, fc_channels: int | None = 4096, dropout: float = 0.2) -> None:
        super().__init__()
        self.name = name
        self.fc_channels = fc_channels
        # torchvision also draws the classifier, 124 M numbers that are thrown away: on the meta device that is free.
        with torch.device("meta"):
            features = {"vgg16": models.vgg16, "vgg16_bn": models.vgg16_bn}[name](weights=None).features
        self.features: nn.Sequential = features.to_empty(device=torch.get_default_device())
        *_, pool3, pool4, _ = (i for i, m in enumerate(self.features) if isinstance(m, nn.MaxPool2d))
        self._pools = (pool3, pool4)
        self.channels = [256, 512, 512 if fc_channels is None else fc_channels]
        if fc_channels is not None:
            self.fc6 = nn.Conv2d(512, fc_channels, 7, padding=3)
            self.fc7 = nn.Conv2d(fc_channels, fc_channels, 1)
            self.dropout = nn.Dropout(dropout)
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
            image: float (B, 3, H, W), normalised with `IMAGENET_MEAN` and `IMAGENET_STD`; H and W multiples of 32.

        Returns:
            pool3 (B, 256, H/8, W/8), pool4 (B, 512, H/16, W/16) and the top (B, channels[2], H/32, W/32):
            fc7's activations, or pool5's where ``fc_channels`` is ``None``.
        """
        maps = []
        for position, layer in enumerate(self.features):
            image = layer(image)
            if position in self._pools:
                maps.append(image)
        if self.fc_channels is None:
            return [*maps, image]
        image = self.dropout(torch.relu(self.fc6(image)))
        image = self.dropout(torch.relu(self.fc7(image)))
        return [*maps, image]

    def load_torchvision(self, state_dict: Mapping[str, torch.Tensor]) -> None:
        """Take over the weights of torchvision's model of the same name.

        The convolutions are loaded; fc6 and fc7 come from ``classifier.0`` and ``classifier.3`` where ``fc_channels``
        is 4096, and stay as they are otherwise. Nothing is changed when an error is raised.

        Args:
            state_dict: state dict of torchvision's ``vgg16`` or ``vgg16_bn``.

        Raises:
            UserError: keys or shapes that do not fit, or values that are not finite.
        """
        sources = {}  # own key -> torchvision's key
        shapes = {}  # torchvision's key -> shape
        for key, value in self.state_dict().items():
            if key.endswith("num_batches_tracked"):  # a counter of training steps that torchvision's older files lack
                continue
            if key.startswith("features."):
                sources[key], shapes[key] = key, value.shape
            elif self.fc_channels == CLASSIFIER_WIDTH:
                sources[key] = key.replace("fc6", "classifier.0").replace("fc7", "classifier.3")
                shapes[sources[key]] = value.flatten(1).shape if value.ndim > 1 else value.shape
        problem = _mismatch(shapes, state_dict)
        if problem:
            raise UserError(
                f"model.weights does not fit model.encoder={self.name}: {problem}.\n"
                f"Give weights of torchvision's {self.name} (with its classifier where model.fc_channels is "
                f"{CLASSIFIER_WIDTH}), or set model.encoder to the network that they come from."
            )
        own = self.state_dict()
        self.load_state_dict(own | {key: state_dict[source].view_as(own[key]) for key, source in sources.items()})


def _mismatch(shapes: Mapping[str, torch.Size], state_dict: Mapping[str, torch.Tensor]) -> str | None:
    """The first reason why a torchvision state dict is not the one described by ``shapes``, or ``None``."""
    for key, shape in shapes.items():
        if key not in state_dict:
            return f"{key} is missing"
        if state_dict[key].shape != shape:
            return f"{key} has shape {tuple(state_dict[key].shape)} instead of {tuple(shape)}"
    for key, value in state_dict.items():
        if key.startswith("features.") and key not in shapes and not key.endswith("num_batches_tracked"):
            return f"{key} has no place in it"
        if not torch.isfinite(value).all():
            return f"{key} holds values that are not finite"
    return None
