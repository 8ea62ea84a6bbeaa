"""Cast shadows: of posts, walls and houses with straight edges, and of trees with ragged ones.

Drawn unlike the shadows of ``segkit.evaluation.corruptions``, by which networks are scored.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from segkit.data.augment.drawing import COARSE, FINE, Unit, spread

PROBABILITY = 0.5
"""How many pictures get shadows."""

SKYLIGHT = (1.0, 0.96, 0.88)
"""Share of a shadow's depth in red, green and blue: the sun's light is missing, the sky's blue one remains."""

SHAPES = 2
"""Convex shapes in a picture, whose union is the shadow."""

SHARPEST, SOFTEST = 0.005, 0.12
"""Width of a shadow's edge, as a share of the picture's height."""


def shadow_parameters(unit: Unit, depth: float, aspect: float) -> dict[str, NDArray[np.float64]]:
    """What ``shaded`` needs, from random numbers.

    Args:
        unit: the samples' random numbers.
        depth: largest share of the light that a shadow takes, 0…1.
        aspect: width of the picture divided by its height.
    """
    there, deep, soft = unit["shadow"].T
    u = unit["shadow_shape"].reshape(-1, SHAPES, 12)
    # Lengths are in heights of the picture. Shadows lie on the ground, in the lower part.
    x, y = aspect * u[..., 0], 0.45 + 0.6 * u[..., 1]
    angle = np.pi * u[..., 2]
    # From a post's thin shadow to a house's; long ones are the rule.
    thin, long = 0.03 * 15 ** u[..., 3], 0.25 * 6 ** u[..., 4]
    turns = spread(u[..., 5:9], 0.25)  # no side is quite parallel to another
    normals = angle[..., None] + turns + np.pi / 2 * np.arange(4)
    across, down = np.cos(normals), np.sin(normals)
    reach = np.stack([long, thin, long, thin], axis=-1)
    # Each side: how far inside of it a point (x, y) is.
    sides = np.stack([-across, -down, reach + across * x[..., None] + down * y[..., None]], axis=-1)
    ragged, horizon = unit["shadow_edge"][:, 0], unit["shadow_edge"][:, 1]
    depths = np.where(there < PROBABILITY, depth * (0.4 + 0.6 * deep), 0)
    return {
        "depths": depths[:, None] * SKYLIGHT,
        "edge": np.stack(
            [
                1 / (SHARPEST * (SOFTEST / SHARPEST) ** soft),
                0.35 * np.maximum(2 * ragged - 0.7, 0),
                0.2 + 0.3 * horizon,
            ],
            axis=-1,
        ),
        "sides": sides,
        "grid": 2 * unit["shadow_edge"][:, 2:] - 1,
    }


def shaded(image: Tensor, depths: Tensor, edge: Tensor, sides: Tensor, grid: Tensor) -> Tensor:
    """A picture float32 (B, 3, h, w) with its shadows, in place.

    Args:
        depths: share of the light that is taken from each channel, (B, 3).
        edge: sharpness, raggedness, and the row above which there is none, (B, 3).
        sides: of each shape: (B, shapes, 4, 3), such that x·a + y·b + c is the distance inside.
        grid: random numbers -1…1 of the ragged edge.
    """
    mask = shadow_mask(edge, sides, grid, (image.shape[2], image.shape[3]))
    return image.mul_(1 - mask[:, None] * depths[:, :, None, None])


def shadow_mask(edge: Tensor, sides: Tensor, grid: Tensor, shape: tuple[int, int]) -> Tensor:
    """How far each pixel lies in the shadow: (B, h, w), 0…1. Arguments as ``shaded``'s."""
    h, w = shape
    rows = (torch.arange(h, device=edge.device, dtype=torch.float32) + 0.5) / h
    columns = (torch.arange(w, device=edge.device, dtype=torch.float32) + 0.5) / h
    sharpness, ragged, top = (part.view(-1, 1, 1) for part in edge.unbind(1))
    a, b, c = (part[..., None] for part in sides.unbind(3))  # (B, shapes, 4, 1)
    across, down = a * columns, b * rows + c
    inside = None
    for shape_across, shape_down in zip(across.unbind(1), down.unbind(1), strict=True):
        depth = None
        for side in range(4):
            far = shape_across[:, side, None, :] + shape_down[:, side, :, None]
            depth = far if depth is None else torch.minimum(depth, far, out=depth)
        assert depth is not None
        inside = depth if inside is None else torch.maximum(inside, depth, out=inside)
    assert inside is not None
    coarse, fine = grid.split([COARSE[0] * COARSE[1], FINE[0] * FINE[1]], dim=1)
    rough = F.interpolate(coarse.view(-1, 1, *COARSE), FINE, mode="bicubic") + 0.6 * fine.view(-1, 1, *FINE)
    noise = F.interpolate(rough, shape, mode="bilinear")[:, 0]
    inside.add_(noise.mul_(ragged)).mul_(sharpness).add_(0.5).clamp_(0, 1)
    smooth = inside * inside * (3 - 2 * inside)
    return smooth.mul_(((rows.view(1, -1, 1) - top) * 6).clamp_(0, 1))
