"""Cross-entropy over the hard pixels: online hard example mining (Shrivastava et al. 2016)."""

import math
from typing import Annotated

from annotated_types import Gt, Le, Lt
from torch import Tensor

from segkit.losses.class_weights import ClassWeightedLoss, Weights
from segkit.losses.pixels import number_scored, pixel_cross_entropy, scored, weighted_mean


class OnlineHardExamples(ClassWeightedLoss):
    """The mean cross-entropy over the pixels whose class has a probability of at most ``threshold``.

    Where these are less than the share ``keep`` of the batch's scored pixels, the hardest ``keep`` of them count (and
    those as hard as the last of these). Which pixels are hard does not depend on the weights of classes; the mean does.

    Args:
        threshold: probability.
        keep: smallest share of the scored pixels that count.
        class_weights: see :class:`~segkit.losses.class_weights.ClassWeightedLoss`.
    """

    def __init__(
        self,
        threshold: Annotated[float, Gt(0), Lt(1)] = 0.7,
        keep: Annotated[float, Gt(0), Le(1)] = 0.0625,
        class_weights: Weights = None,
    ) -> None:
        super().__init__(class_weights)
        self.threshold = threshold
        self.keep = keep

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Scalar from logits (B, C, H, W) and label uint8 (B, H, W)."""
        losses = pixel_cross_entropy(logits, label)
        # Pixels that are not scored have loss 0 and come last.
        hardest = losses.detach().flatten().sort(descending=True).values
        last_kept = (number_scored(label) * self.keep).ceil().long().clamp(min=1) - 1
        least = hardest.index_select(0, last_kept.view(1)).clamp(max=-math.log(self.threshold))
        hard = scored(label) & (losses.detach() >= least)
        return weighted_mean(losses, self.pixel_weights(logits, label) * hard)
