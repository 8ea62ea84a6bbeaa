"""What is random about a sample: numbers from 0 to 1, drawn from its key alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segkit.data.augment.base import Key

COARSE, FINE = (4, 6), (16, 24)
"""Rows and columns of the two grids of random numbers that a shadow's edge is made ragged with."""

COUNTS = {
    "place": 5,  # flip, scale, rotation, row, column
    "partner_place": 5,
    "mix": 3,  # which partner, whether to paste, whether to mix
    "priority": 256,  # of each class in mixing
    "tone": 6,  # brightness, contrast, gamma, red, green, blue
    "saturation": 1,
    "blur": 1,
    "noise": 4,  # strength, where to read for red, green, blue
    "shadow": 3,  # whether, depth, softness
    "shadow_shape": 2 * 12,
    "shadow_edge": 2 + COARSE[0] * COARSE[1] + FINE[0] * FINE[1],
}
"""Random numbers by what they are for. Each purpose has its own, whether it is used or not: so a recipe without shadows
takes the same crops as the one with them."""

Unit = dict[str, NDArray[np.float64]]
"""Random numbers 0…1, (B, count), by their purpose."""


def drawn(keys: Sequence[Key]) -> Unit:
    """The random numbers of the samples of ``keys``."""
    total = sum(COUNTS.values())
    rows = np.stack([np.random.default_rng(key).random(total) for key in keys])
    ends = np.cumsum(list(COUNTS.values()))
    return dict(zip(COUNTS, np.split(rows, ends[:-1], axis=1), strict=True))


def spread(unit: NDArray[np.float64], largest: float) -> NDArray[np.float64]:
    """Evenly from ``-largest`` to ``largest``."""
    return (2 * unit - 1) * largest


def factor(unit: NDArray[np.float64], largest: float) -> NDArray[np.float64]:
    """From ``1 / largest`` to ``largest``, evenly on a logarithmic scale: as often twice as half."""
    factors: NDArray[np.float64] = largest ** (2 * unit - 1)
    return factors
