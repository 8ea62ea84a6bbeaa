"""Layers that several decoders are built of. They start as torch starts its own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segkit.models.resampling import pool, resize


def conv_block(in_channels: int, out_channels: int, kernel: int = 3, dilation: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; height and width stay as they are."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class PooledBlock(nn.Module):
    """Means over ``bins`` × ``bins`` parts of a map, a 1×1 convolution and ReLU, enlarged to the map's size again.

    Without batch normalisation, unlike its papers: over so few values, a picture's single one per channel above all,
    a batch's variance says nothing, and of a batch of one picture there is none.
    """

    def __init__(self, in_channels: int, out_channels: int, bins: int) -> None:
        super().__init__()
        self.bins = bins
        self.conv = nn.Conv2d(in_channels, out_channels, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W)."""
        return resize(self.relu(self.conv(pool(image, self.bins))), image.shape[-2:])


class PyramidPooling(nn.Module):
    """Pyramid pooling (PSPNet, Zhao et al. 2017): a map beside its means over 1, 4, 9 and 36 parts, merged by 3×3."""

    def __init__(self, in_channels: int, out_channels: int, bins: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        width = in_channels // len(bins)
        self.pooled = nn.ModuleList(PooledBlock(in_channels, width, number) for number in bins)
        self.merge = conv_block(in_channels + width * len(bins), out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W)."""
        return self.merge(torch.cat([image, *(pooled(image) for pooled in self.pooled)], dim=1))


def auxiliary_head(in_channels: int, num_classes: int) -> nn.Sequential:
    """An FCN head on an inner feature map, for a loss in training alone (PSPNet, Zhao et al. 2017)."""
    width = max(in_channels // 4, 1)
    return nn.Sequential(conv_block(in_channels, width), nn.Dropout(0.1), nn.Conv2d(width, num_classes, 1))
