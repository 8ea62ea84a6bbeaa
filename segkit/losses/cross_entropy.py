"""Softmax cross-entropy."""

from torch import Tensor

from segkit.losses.class_weights import ClassWeightedLoss
from segkit.losses.pixels import pixel_cross_entropy, weighted_mean


class CrossEntropy(ClassWeightedLoss):
    """Softmax cross-entropy in nats: mean over the scored pixels of the batch, each with the weight of its class."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Scalar from logits (B, C, H, W) and label uint8 (B, H, W)."""
        return weighted_mean(pixel_cross_entropy(logits, label), self.pixel_weights(logits, label))
