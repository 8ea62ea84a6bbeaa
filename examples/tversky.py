"""A loss of one's own: Tversky (Salehi et al. 2017), which weighs missed pixels against wrong ones."""

from typing import Annotated

import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn


class Tversky(nn.Module):
    """1 − Tversky index, the mean over classes.

    Args:
        missed: weight of pixels of a class that are not found.
        wrong: weight of pixels that are taken for a class and are not of it.
    """

    def __init__(self, missed: Annotated[float, Ge(0)] = 0.7, wrong: Annotated[float, Ge(0)] = 0.3) -> None:
        super().__init__()
        self.missed, self.wrong = missed, wrong

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Scalar of logits (B, C, H, W) and label uint8 (B, H, W); 255 does not count."""
        scored = (label != 255)[:, None]
        found = logits.float().softmax(1) * scored
        truth = F.one_hot(label.long() * scored[:, 0], logits.shape[1]).movedim(-1, 1) * scored
        hits = (found * truth).sum((0, 2, 3))
        misses, errors = (truth - found * truth).sum((0, 2, 3)), (found - found * truth).sum((0, 2, 3))
        index = (hits + 1) / (hits + self.missed * misses + self.wrong * errors + 1)
        return (1 - index).mean()
