"""U-Net's decoder (Ronneberger, Fischer, Brox 2015) on the feature maps of any encoder."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

from segkit.models.decoders.layers import conv_block
from segkit.models.encoders.features import Channels


class UNetDecoder(nn.Module):
    """From the top down: enlarge, put the encoder's map beside it, two 3×3 convolutions; logits at the finest map.

    Unlike in the paper each convolution has batch normalisation and keeps a map's size, and nearest neighbour enlarges.

    Args:
        channels, strides: of the feature maps, fine to coarse.
        num_classes: channels of the logits.
        width: channels at the finest map; doubled at each coarser one.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        num_classes: Annotated[int, Gt(0)],
        width: Channels = 32,
    ) -> None:
        super().__init__()
        *skips, below = channels
        self.blocks = nn.ModuleList()
        for level, skip in reversed(list(enumerate(skips))):
            out = width * 2**level
            self.blocks.append(nn.Sequential(conv_block(below + skip, out), conv_block(out, out)))
            below = out
        self.score = nn.Conv2d(below, num_classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits (B, num_classes, H/strides[0], W/strides[0]) from one map (B, C, H/stride, W/stride) per stride."""
        *skips, image = maps
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            image = F.interpolate(image, size=skip.shape[-2:])
            image = block(torch.cat([image, skip], dim=1))
        return self.score(image)
