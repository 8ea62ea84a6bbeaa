"""Training losses: ``loss(logits, label) -> scalar`` for logits (B, C, H, W) and label uint8 (B, H, W)."""

import torch.nn.functional as F
from torch import Tensor

from segkit.data.records import UNSCORED


def cross_entropy_sum(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax cross-entropy in nats, summed over scored pixels, and the number of those pixels."""
    label = label.long()
    total = F.cross_entropy(logits.float(), label, ignore_index=UNSCORED, reduction="sum")
    return total, (label != UNSCORED).sum()


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Softmax cross-entropy in nats, mean over the scored pixels of the batch; 0 when there are none."""
    total, scored = cross_entropy_sum(logits, label)
    return total / scored.clamp(min=1)
