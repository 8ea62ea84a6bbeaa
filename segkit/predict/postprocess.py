"""From logits at the network's input size to a prediction at the picture's own size: one way, used by all."""

import torch.nn.functional as F
from torch import Tensor


def logits_at_size(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits of one picture (C, h, w) at its own ``size`` (height, width): float32 (C, H, W), bilinear.

    Sampling is at pixel centres (``align_corners=False``), the inverse of how pictures are shrunk.
    """
    return F.interpolate(logits[None].float(), size=size, mode="bilinear", align_corners=False)[0]


def to_confidence(probability: Tensor) -> Tensor:
    """Probabilities, float 0…1 of any shape, as the 8 bit of a confidence map: ``round(255 · p)``, uint8."""
    return (probability * 255).round().byte()
