"""The soft Dice loss (Milletari et al. 2016), over classes."""

import torch
from torch import Tensor, nn

from segkit.losses.pixels import full_precision, scored


class Dice(nn.Module):
    """1 - 2 Σ p·g / (Σ p² + Σ g²), over all scored pixels of the batch; mean over the classes that are among them.

    p is the probability of a class, g is 1 where it is the label's and 0 elsewhere.
    """

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Scalar from logits (B, C, H, W) and label uint8 (B, H, W)."""
        classes = torch.arange(logits.shape[1], device=label.device).view(1, -1, 1, 1)
        is_class = label[:, None] == classes
        probability = full_precision(logits).softmax(1) * scored(label)[:, None]
        overlap = (probability * is_class).sum((0, 2, 3))
        pixels = is_class.sum((0, 2, 3))
        # At least 1 for a class that occurs.
        dice = 2 * overlap / (probability.square().sum((0, 2, 3)) + pixels).clamp(min=1)
        occurs = pixels > 0
        return ((1 - dice) * occurs).sum() / occurs.sum().clamp(min=1)
