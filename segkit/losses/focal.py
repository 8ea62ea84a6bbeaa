"""The focal loss (Lin et al. 2017), over classes."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from segkit.losses.class_weights import ClassWeightedLoss, Weights
from segkit.losses.pixels import pixel_cross_entropy, weighted_mean


class Focal(ClassWeightedLoss):
    """Cross-entropy with less weight on pixels that are right already: the mean of (1 - p)^gamma · -ln p.

    p is the probability of a pixel's class. The mean is over the scored pixels, each with the weight of its class (the
    paper's alpha); the paper divides by the number of objects instead.

    Args:
        gamma: 0 is cross-entropy; the paper's is 2.
        class_weights: see :class:`~segkit.losses.class_weights.ClassWeightedLoss`.
    """

    def __init__(self, gamma: Annotated[float, Ge(0)] = 2.0, class_weights: Weights = None) -> None:
        super().__init__(class_weights)
        self.gamma = gamma

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Scalar from logits (B, C, H, W) and label uint8 (B, H, W)."""
        losses = pixel_cross_entropy(logits, label)
        # For a gamma below 1 the power's gradient has no bounds at 0, where every pixel that is not scored lies.
        wrong = (-torch.expm1(-losses)).clamp(min=torch.finfo(losses.dtype).tiny)
        return weighted_mean(wrong**self.gamma * losses, self.pixel_weights(logits, label))
