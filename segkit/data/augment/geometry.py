"""Where a sample's pixels come from: one affine map of scale, rotation, mirroring and crop, and no chain of them."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from segkit.data.augment.drawing import factor, spread
from segkit.data.augment.sending import sent
from segkit.data.records import IGNORE_INDEX

PADDING = int(np.array([0, 0, 0, IGNORE_INDEX], np.uint8).view(np.int32)[0])
"""A pixel of RGB and label outside the picture, as one number."""


@dataclass(frozen=True)
class Geometry:
    """Places pictures of any size in ``shape`` (h, w): anywhere in them where they are larger, anywhere in black
    padding, 255 in the label, where they are smaller.

    Args:
        shape: (height, width) of the result in pixels.
        flip: probability of mirroring left to right.
        scale: largest factor of the size, from its reciprocal on, ≥ 1.
        rotation: largest angle in degrees, either way.
    """

    shape: tuple[int, int]
    flip: float
    scale: float
    rotation: float

    def __call__(self, pictures: Tensor, unit: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Image uint8 (B, 3, h, w) and label uint8 (B, h, w) from pictures uint8 (B, H, W, 4).

        ``unit`` (B, 5) are random numbers 0…1: for flip, scale, rotation, row and column.
        """
        if self.scale == 1 and self.rotation == 0:
            return self._moved(pictures, unit)
        return self._resampled(pictures, unit)

    def _moved(self, pictures: Tensor, unit: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """By whole pixels, byte for byte."""
        size, (h, w) = tuple(pictures.shape[1:3]), self.shape
        spare = np.array(size) - self.shape
        # Where there is room, a crop begins at its place; where there is none, the picture lies there in the padding.
        starts = np.sign(spare) * np.floor(unit[:, 3:] * (abs(spare) + 1)).astype(np.int64)
        mirrored = unit[:, 0] < self.flip
        steps = np.where(mirrored, -1, 1)
        starts[:, 1] += np.where(mirrored, w - 1, 0)
        places = sent(np.column_stack([starts, steps]), pictures.device)
        rows = places[:, :1] + torch.arange(h, device=pictures.device)
        columns = places[:, 1:2] + places[:, 2:] * torch.arange(w, device=pictures.device)
        firsts = torch.arange(len(pictures), device=pictures.device)[:, None] * size[0] * size[1]
        within = rows.clamp(0, size[0] - 1) * size[1] + firsts
        found = pictures.contiguous().view(torch.int32).take(
            within[:, :, None] + columns.clamp(0, size[1] - 1)[:, None, :]
        )  # fmt: skip
        if spare.min() < 0:
            inside = ((rows >= 0) & (rows < size[0]))[:, :, None] & ((columns >= 0) & (columns < size[1]))[:, None, :]
            found = found.where(inside, PADDING)
        moved = found[..., None].view(torch.uint8).permute(0, 3, 1, 2)
        return moved[:, :3], moved[:, 3]

    def _resampled(self, pictures: Tensor, unit: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Bilinear, the label by its nearest pixel."""
        h, w = self.shape
        grid = self._grid(pictures, unit)
        source = pictures.permute(0, 3, 1, 2).float()
        # What is outside is 0 here, a label is 1…256.
        nearest = F.grid_sample(256 - source[:, 3:], grid, mode="nearest", align_corners=False)
        image = F.grid_sample(source[:, :3], grid, padding_mode="border", align_corners=False)
        image = image.mul_(nearest > 0).round_().to(torch.uint8)
        label = (256 - nearest).clamp_(max=IGNORE_INDEX).to(torch.uint8).view(-1, h, w)
        return image, label

    def _grid(self, pictures: Tensor, unit: NDArray[np.float64]) -> Tensor:
        """(B, h, w, 2): column and row of the source's point for each pixel, from -1 to 1 between its edges."""
        size, shape = np.array(pictures.shape[1:3]), np.array(self.shape)
        # Pixels of the source for one of the result.
        step = 1 / factor(unit[:, 1:2], self.scale)
        first = shape / 2 * step
        centre = first + unit[:, 3:] * (size - 2 * first)
        angle = np.radians(spread(unit[:, 2], self.rotation))
        side = np.where(unit[:, 0] < self.flip, -1.0, 1.0)
        cosine, sine = np.cos(angle), np.sin(angle)
        # Row and column of the source, in columns for: a column further, a row further.
        across = np.stack([-sine * side, cosine * side], axis=1) * step
        down = np.stack([cosine, sine], axis=1) * step
        origin = centre - across * shape[1] / 2 - down * shape[0] / 2 + (across + down) / 2
        affine = np.stack([across, down, origin - size / 2], axis=1) * 2 / size
        there = sent(affine[:, :, ::-1].astype(np.float32), pictures.device)
        columns = torch.arange(shape[1], device=pictures.device, dtype=torch.float32)[None, None, :, None]
        rows = torch.arange(shape[0], device=pictures.device, dtype=torch.float32)[None, :, None, None]
        parts = there[:, :, None, None, :].unbind(1)
        return columns * parts[0] + (rows * parts[1] + parts[2])
