"""The Lovász-Softmax loss (Berman et al. 2018): a convex surrogate of 1 - IoU."""

import torch
from torch import Tensor, nn

from segkit.losses.pixels import full_precision, scored


class LovaszSoftmax(nn.Module):
    """The Lovász extension of each class's Jaccard loss, over all scored pixels of the batch; mean over the classes
    that are among them.

    It sorts all pixels once per class.
    """

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Scalar from logits (B, C, H, W) and label uint8 (B, H, W)."""
        probabilities = full_precision(logits).softmax(1)
        counted = scored(label).flatten()
        losses, occurs = [], []
        for number, probability in enumerate(probabilities.unbind(1)):
            is_class = label.flatten() == number
            losses.append(_extension(probability.flatten(), is_class, counted))
            occurs.append(is_class.any())
        return torch.stack(losses).sum() / torch.stack(occurs).sum().clamp(min=1)


def _extension(probability: Tensor, is_class: Tensor, counted: Tensor) -> Tensor:
    """Σ error · what the Jaccard loss grows by when this pixel, too, is wrong; pixels (N,) by falling error.

    0 for a class that does not occur.
    """
    errors, order = ((is_class.float() - probability).abs() * counted).sort(descending=True)
    is_class, other = is_class[order], (counted & ~is_class)[order]
    # In integers: exact for any number of pixels, and float's cumulative sum has no deterministic CUDA kernel.
    total = is_class.sum()
    intersection = total - is_class.cumsum(0)
    union = total + other.cumsum(0)
    # The loss is 1 - I/U. A pixel of the class takes 1 from I, one of another class adds 1 to U. Differences of
    # neighbouring losses would be the same, but for float32's rounding.
    growth = torch.where(is_class, 1 / union, other * intersection / (union * (union - 1)).clamp(min=1))
    return (errors * growth).sum()
