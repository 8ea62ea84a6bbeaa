"""torchvision's classification networks as encoders: the layers before their classifiers, stage by stage."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn
from torchvision import models

from segkit.models.encoders.features import normalisation, run_features, with_input_channels


@dataclass(frozen=True)
class _Stages:
    """Where the feature maps come out of a network's layers: the last layer before the next halving."""

    places: tuple[int, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...] = (2, 4, 8, 16, 32)


_STAGES = {
    "resnet18": _Stages((2, 4, 5, 6, 7), (64, 64, 128, 256, 512)),
    "resnet34": _Stages((2, 4, 5, 6, 7), (64, 64, 128, 256, 512)),
    "resnet50": _Stages((2, 4, 5, 6, 7), (64, 256, 512, 1024, 2048)),
    "mobilenet_v3_large": _Stages((1, 3, 6, 12, 16), (16, 24, 40, 112, 960)),
    "convnext_tiny": _Stages((1, 3, 5, 7), (96, 192, 384, 768), (4, 8, 16, 32)),
}
"""Those whose last stage can be dilated, for a coarsest stride of 16."""


class TorchvisionEncoder(nn.Module):
    """A ResNet, MobileNetV3 or ConvNeXt of torchvision without its classifier, started as torchvision starts it.

    Args:
        name: one of `TORCHVISION_NAMES`.
        in_channels: of the input.
        output_stride: 32, or for some (`segkit.models.encoders.DILATING`) 16: the last stage keeps stride 16 and
            dilates by 2 instead.

    Attributes:
        features: the layers; ResNet's with their own names, in order.
        channels, strides, in_channels, mean, std: see `segkit.models.base.Encoder`.
    """

    features: nn.Sequential

    def __init__(self, name: str, in_channels: int = 3, output_stride: int = 32) -> None:
        super().__init__()
        stages = _STAGES[name]
        self.name = name
        self.in_channels = in_channels
        self.mean, self.std = normalisation(in_channels)
        self.channels = list(stages.channels)
        self.strides = [min(stride, output_stride) for stride in stages.strides]
        self._places = stages.places
        options = {"dilated": output_stride == 16} if name == "mobilenet_v3_large" else {}
        # A classifier of one class: it is thrown away, and should cost nothing to draw.
        network = getattr(models, name)(weights=None, num_classes=1, **options)
        if name.startswith("resnet"):
            *layers, _, _ = network.named_children()  # without pooling and classifier
            self.features = nn.Sequential(OrderedDict(layers))
            if output_stride == 16:
                _dilate(network.layer4)
        else:
            self.features = network.features
        with_input_channels(self.features, in_channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Feature maps of float (B, in_channels, H, W), normalised: one (B, C, H/stride, W/stride) per stride."""
        return run_features(self.features, self._places, image)

    def sources(self, names: Iterable[str]) -> dict[str, str]:
        """Own names, and for each torchvision's."""
        prefix = "features." if self.name.startswith("resnet") else ""
        return {key: key.removeprefix(prefix) for key in self.state_dict()}


def _dilate(stage: nn.Sequential) -> None:
    """Stride 1 in a ResNet's stage, and in all its blocks but the first a dilation of 2 in place of the stride."""
    for index, block in enumerate(stage):
        for conv in block.modules():
            if isinstance(conv, nn.Conv2d):
                conv.stride = (1, 1)
                if index > 0 and conv.kernel_size == (3, 3):
                    conv.dilation = conv.padding = (2, 2)
