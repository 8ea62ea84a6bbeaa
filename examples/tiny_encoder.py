"""An encoder of one's own: five strided convolutions."""

from collections.abc import Sequence

from torch import Tensor, nn


class TinyEncoder(nn.Module):
    """One convolution of stride 2 per map.

    Args:
        widths: channels of the maps, fine to coarse, at strides 2, 4, 8, …

    Attributes:
        channels, strides, in_channels: what decoders are built from.
        mean, std: of the pictures that it expects, RGB, for values 0…1.
    """

    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)
    in_channels = 3

    def __init__(self, widths: Sequence[int] = (8, 16, 32, 48, 64)) -> None:
        super().__init__()
        self.channels = list(widths)
        self.strides = [2 ** (i + 1) for i in range(len(widths))]
        inputs = [self.in_channels, *widths[:-1]]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(into, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
            for into, out in zip(inputs, widths, strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Feature maps, fine to coarse, of a normalised picture (B, 3, H, W)."""
        maps = []
        for stage in self.stages:
            image = stage(image)
            maps.append(image)
        return maps
