"""Training losses: ``loss(logits, label) -> scalar`` for logits (B, C, H, W) and label uint8 (B, H, W)."""

import torch.nn.functional as F
from torch import Tensor

from segkit.data.records import IGNORE_INDEX


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Softmax cross-entropy in nats, mean over the scored pixels of the batch; 0 when there are none."""
    # PyTorch's own mean and sum over pixels have no deterministic CUDA kernel, and the mean is 0/0 with none scored.
    losses = F.cross_entropy(logits.float(), label.long(), ignore_index=IGNORE_INDEX, reduction="none")
    return losses.sum() / (label != IGNORE_INDEX).sum().clamp(min=1)
