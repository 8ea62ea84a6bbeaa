"""Resizing within a graph, pictures to the grey levels that :func:`segkit.data.images.resize_image` gives."""

from typing import NamedTuple

import torch
from torch import Tensor

FINEST = 2048
"""OpenCV's bilinear weights are multiples of its inverse."""


def resize_picture(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures at ``size`` (height, width): the mean over areas where they shrink in both directions, else bilinear.

    Which of the two is decided when the graph runs, so that it holds for pictures of any size. Each cell of the result
    is a sum over the few cells below it: products with whole matrices would cost far more for a large picture.

    Args:
        image: uint8 (N, C, H, W).
        size: height and width of the result.

    Returns:
        uint8 (N, C, height, width), a grey level off OpenCV's in 1 of 100 values at most.
    """
    (height, width), shape = size, image.shape[-2:]
    shrinks = (_scalar(shape[0], image) >= _scalar(height, image)) & (_scalar(shape[1], image) >= _scalar(width, image))
    columns, rows = _taps(shape[1], width, shrinks), _taps(shape[0], height, shrinks)
    values = (image[..., columns.cells].float() * columns.weight).sum(-1)
    # OpenCV adds up bilinear rows in quarters of a grey level, and drops what is less than one.
    quarters = 4 * values[..., rows.cells, :] * rows.weight[..., None]
    quarters = torch.where(shrinks, quarters, quarters.floor()).sum(-2)
    return torch.where(shrinks, (quarters / 4).round(), ((quarters + 2) / 4).floor()).to(torch.uint8)


def scaled(length: int, over: int, under: int) -> int:
    """``max(1, round(length · over / under))`` of integers; they may be symbols of the graph, which it cannot round."""
    product = length * over
    # Halves go to even numbers, as Python rounds.
    rounded = (2 * product + under - 1 + product // under % 2) // (2 * under)
    return torch.sym_max(rounded, 1)


class _Taps(NamedTuple):
    """Cells below each cell of the result, ``cells`` int64 (target, K), and their ``weight`` float32 (target, K)."""

    cells: Tensor
    weight: Tensor


def _taps(source: int, target: int, shrinks: Tensor) -> _Taps:
    """Those of a direction of length ``source`` at length ``target``: of areas where it ``shrinks``, else bilinear."""
    scale = source / target
    cell = torch.arange(target, dtype=torch.float64, device=shrinks.device)
    centre = ((cell + 0.5) * scale - 0.5).clamp(0, source - 1)
    first = torch.where(shrinks, cell * scale, centre).floor()
    index = first[:, None] + torch.arange(source // target + 2, dtype=torch.float64, device=shrinks.device)
    begin = (cell * scale)[:, None]
    area = torch.minimum(begin + scale, index + 1) - torch.maximum(begin, index)
    near = centre.floor() + ((centre - centre.floor()) * FINEST).round() / FINEST
    weight = torch.where(shrinks, area / scale, 1 - (near[:, None] - index).abs()).clamp(min=0)
    return _Taps(index.clamp(0, source - 1).long(), weight.float())


def _scalar(length: int, like: Tensor) -> Tensor:
    """A length, which may be a symbol of the graph, as a value of the graph."""
    return torch.full((), length, dtype=torch.int64, device=like.device)
