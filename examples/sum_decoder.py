"""A decoder of one's own: class scores of every feature map, enlarged and added up."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Tensor, nn


class SumDecoder(nn.Module):
    """1×1 scores of the encoder's maps, brought to the size of the finest one that is used and added up.

    Args:
        channels, strides: of the encoder's maps, fine to coarse; segkit passes them.
        num_classes: channels of the logits; segkit passes it.
        finest: stride of the finest map that is used.
    """

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], num_classes: int, finest: Annotated[int, Gt(0)] = 8
    ) -> None:
        super().__init__()
        self.used = [i for i, stride in enumerate(strides) if stride >= finest]
        self.scores = nn.ModuleList(nn.Conv2d(channels[i], num_classes, 1) for i in self.used)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits (B, num_classes, h, w) at the size of the finest map that is used."""
        scores = [score(maps[i]) for i, score in zip(self.used, self.scores, strict=True)]
        size = scores[0].shape[-2:]
        return torch.stack([F.interpolate(score, size, mode="nearest") for score in scores]).sum(0)
