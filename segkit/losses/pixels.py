"""What the losses share: precision, which pixels are scored, and means over them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from segkit.data.records import IGNORE_INDEX


def full_precision(logits: Tensor) -> Tensor:
    """Float32 of half precision, as autocast gives it; float64 stays."""
    return logits if logits.dtype == torch.float64 else logits.float()


def scored(label: Tensor) -> Tensor:
    """Whether a pixel counts: bool in the label's shape."""
    return label != IGNORE_INDEX


def number_scored(label: Tensor) -> Tensor:
    """How many pixels count, a scalar: the denominator of every loss that has none of its own."""
    return scored(label).sum()


def pixel_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """-ln of the probability of each pixel's class, (B, H, W); 0 where it is not scored."""
    return F.cross_entropy(full_precision(logits), label.long(), ignore_index=IGNORE_INDEX, reduction="none")


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Σ weights · values / Σ weights, 0 where all weights are; ``weights`` may be bool."""
    # PyTorch's own mean over pixels has no deterministic CUDA kernel, and is 0/0 with none scored.
    total = weights.sum()
    return (values * weights).sum() / torch.where(total > 0, total, 1)
