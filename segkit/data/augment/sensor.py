"""What lens and sensor add: blur and noise."""

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from segkit.data.augment.sending import sent

SPARE = 1 << 18
"""Numbers of the noise table beyond those of one channel: from so many places can it be read."""


def taps(sigma: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Weights of a Gaussian blur for the pixel itself and its neighbours 1…radius pixels away: (B, radius + 1).

    ``sigma`` (B,) in pixels; 0 leaves the picture as it is.
    """
    distances = np.arange(radius + 1)
    weights = np.exp(-0.5 * (distances / np.maximum(sigma, 1e-3)[:, None]) ** 2)
    weights /= weights[:, :1] + 2 * weights[:, 1:].sum(1, keepdims=True)
    return weights


def radius(sigma: float) -> int:
    """How far a blur reaches, in pixels: 95 % of its weight."""
    return math.ceil(2 * sigma)


def blurred(image: Tensor, taps: Tensor) -> Tensor:
    """The picture float32 (B, 3, h, w) blurred with ``taps`` (B, radius + 1), its edge continued."""
    reach = taps.shape[1] - 1
    weights = [weight.view(-1, 1, 1, 1) for weight in taps.unbind(1)]
    for axis, border in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        length = image.shape[axis]
        padded = F.pad(image, border, mode="replicate")
        image = image * weights[0]
        for away in range(1, reach + 1):
            both = padded.narrow(axis, reach - away, length) + padded.narrow(axis, reach + away, length)
            image += both.mul_(weights[away])
    return image


def add_noise(image: Tensor, std: Tensor, starts: NDArray[np.float64]) -> Tensor:
    """Normal noise on a picture float32 (B, 3, h, w), in place: read from a fixed table, alike on all devices.

    Args:
        std: of the noise, in the picture's unit, (B,).
        starts: where in the table, 0…1, for each channel, (B, 3).
    """
    *_, h, w = image.shape
    table = normal_numbers(h * w + SPARE, image.device)
    parts = [table[start : start + h * w] for start in (starts * SPARE).astype(int).ravel().tolist()]
    return image.add_(torch.stack(parts).view(image.shape).mul_(std.view(-1, 1, 1, 1)))


@lru_cache(maxsize=2)
def normal_numbers(count: int, device: torch.device) -> Tensor:
    """Standard normal numbers, always the same."""
    return sent(np.random.default_rng(0).standard_normal(count, np.float32), device)
