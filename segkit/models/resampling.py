"""Changing the size of feature maps, with gradients that are the same at every run.

torch's bilinear interpolation and its adaptive pooling add up their gradients on GPUs in any order
(``atomicAdd``), in half precision slowly. Both are linear in rows and columns, so that a product with one small
matrix for the rows and one for the columns does the same, and so does its gradient.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import has_torch_function_unary


def resize(image: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear interpolation, pixels as areas (``align_corners=False``), without antialiasing.

    Args:
        image: (B, C, H, W).
        size: height and width of the result.

    Returns:
        (B, C, height, width), as `torch.nn.functional.interpolate` gives it.
    """
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    # Where there is nothing to be added up, or in one order: on a CPU, and where a mode of torch's puts another
    # function in this one's place, as segkit.speed does.
    if not (image.is_cuda and image.requires_grad) or has_torch_function_unary(image):
        return F.interpolate(image, size=list(size), mode="bilinear", align_corners=False)
    return by_matrices(image, *(bilinear_matrix(*sizes, image) for sizes in zip(image.shape[-2:], size, strict=True)))


def pool(image: Tensor, bins: int) -> Tensor:
    """Mean of each of ``bins`` × ``bins`` parts of a map: (B, C, H, W) to (B, C, bins, bins), as adaptive pooling."""
    return by_matrices(image, *(pooling_matrix(length, bins, image) for length in image.shape[-2:]))


def by_matrices(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply a matrix (height, H) to the rows of a map (B, C, H, W) and one (width, W) to its columns."""
    channels, width = image.shape[1], image.shape[3]
    # Channels last: then neither product has to move the values of a map that lies that way in memory.
    values = image.permute(0, 2, 3, 1).flatten(2)
    values = (rows @ values).unflatten(2, (width, channels))
    return (columns @ values).permute(0, 3, 1, 2)


def bilinear_matrix(source: int, target: int, like: Tensor) -> Tensor:
    """Weights (target, source) of the two source cells nearest to each target cell's centre, border cells repeated."""
    centres = (torch.arange(target, device=like.device) + 0.5) * (source / target) - 0.5
    distances = centres.clamp(0, source - 1)[:, None] - torch.arange(source, device=like.device)
    return (1 - distances.abs()).clamp(min=0).to(like.dtype)


def pooling_matrix(source: int, bins: int, like: Tensor) -> Tensor:
    """Weights (bins, source) of means over ⌊i·source/bins⌋ … ⌈(i + 1)·source/bins⌉ − 1: as torch has it."""
    index, cells = torch.arange(bins, device=like.device)[:, None], torch.arange(source, device=like.device)
    first, end = index * source // bins, ((index + 1) * source + bins - 1) // bins
    inside = (cells >= first) & (cells < end)
    return (inside / inside.sum(1, keepdim=True)).to(like.dtype)
