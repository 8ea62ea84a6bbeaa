"""Feature pyramid for segmentation: Lin et al. 2017, with the head of Kirillov et al. 2019 (Panoptic FPN)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

from segkit.models.decoders.layers import PyramidPooling, auxiliary_head, conv_block
from segkit.models.encoders.features import Channels
from segkit.models.resampling import resize

FINEST_STRIDE = 4


class FPNDecoder(nn.Module):
    """Every map from stride 4 on is brought to one width and given what the coarser ones saw; logits at stride 4.

    Top-down by nearest neighbour, as Lin; then, as Kirillov, each level goes to stride 4 by 3×3 convolutions with a
    bilinear doubling after each, and their sum is scored. Batch normalisation in place of group normalisation.

    Args:
        channels, strides: of the feature maps, fine to coarse; those finer than stride 4 are not used.
        num_classes: channels of the logits.
        width: channels of the pyramid.
        head_width: channels of the head.
        pyramid_pooling: whether the top is pooled first (as in UPerNet, Xiao et al. 2018): the whole picture's context.
        auxiliary: whether training has an auxiliary FCN head on the second coarsest map.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        num_classes: Annotated[int, Gt(0)],
        width: Channels = 256,
        head_width: Channels = 128,
        pyramid_pooling: bool = False,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        self._first = sum(stride < FINEST_STRIDE for stride in strides)
        used, strides = channels[self._first :], strides[self._first :]
        top = PyramidPooling(used[-1], width) if pyramid_pooling else nn.Conv2d(used[-1], width, 1)
        self.laterals = nn.ModuleList([*(nn.Conv2d(c, width, 1) for c in used[:-1]), top])
        self.heads = nn.ModuleList(_Head(width, head_width, stride // strides[0]) for stride in strides)
        self.score = nn.Conv2d(head_width, num_classes, 1)
        self.auxiliary = auxiliary_head(channels[-2], num_classes) if auxiliary else None

    def forward(self, maps: Sequence[Tensor]) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Logits (B, num_classes, H/4, W/4) from one map (B, C, H/stride, W/stride) per stride.

        In training with an auxiliary head also its logits, at the second coarsest map's size.
        """
        levels = [lateral(image) for lateral, image in zip(self.laterals, maps[self._first :], strict=True)]
        for i in reversed(range(len(levels) - 1)):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], size=levels[i].shape[-2:])
        first, *others = (head(level) for head, level in zip(self.heads, levels, strict=True))
        logits = self.score(sum(others, start=first))
        if self.training and self.auxiliary is not None:
            return logits, [self.auxiliary(maps[-2])]
        return logits


class _Head(nn.Module):
    """Smoothing, and 3×3 convolutions with a doubling after each to ``factor`` times the size; one at factor 1."""

    def __init__(self, in_channels: int, out_channels: int, factor: int) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        doublings = factor.bit_length() - 1
        self._step = 2 if doublings else 1
        widths = [in_channels, *(out_channels,) * max(doublings, 1)]
        self.blocks = nn.ModuleList(conv_block(*pair) for pair in pairwise(widths))

    def forward(self, image: Tensor) -> Tensor:
        image = self.smooth(image)
        for block in self.blocks:
            image = block(image)
            image = resize(image, [self._step * length for length in image.shape[-2:]])
        return image
