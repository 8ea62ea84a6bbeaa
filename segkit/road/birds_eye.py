"""KITTI road's bird's-eye view: a grid on the road plane, filled from a picture exactly as the benchmark does."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from segkit.road.calibration import Calibration

# torch is imported where it is used: the scene generator reads this package too, and starts in a third of the time.
if TYPE_CHECKING:
    import torch

Size = tuple[int, int]
"""(height, width) in pixels."""

Pixels = TypeVar("Pixels", NDArray[Any], "torch.Tensor")

TABLES = 128
"""Lookup tables that are kept (1.6 MB each for the benchmark's grid): those of the validation pictures, mostly."""


class _Table(NamedTuple):
    """For each target pixel the flat index of its source pixel, 0 where ``outside`` says that there is none."""

    source: "torch.Tensor"
    outside: "torch.Tensor"


class _Grid(NamedTuple):
    x_range: tuple[float, float]
    z_range: tuple[float, float]
    cell: float


class BirdsEyeView:
    """A grid of square cells on the road plane, far end in row 0, left in column 0.

    Args:
        x_range: metres to the right of the car, from and to.
        z_range: metres ahead of the car, from and to.
        cell: side of a cell in metres.
    """

    def __init__(
        self,
        x_range: tuple[float, float] = (-10.0, 10.0),
        z_range: tuple[float, float] = (6.0, 46.0),
        cell: float = 0.05,
    ) -> None:
        self.x_range, self.z_range, self.cell = x_range, z_range, cell
        self._grid = _Grid(x_range, z_range, cell)
        self.shape = _shape(self._grid)

    def warp(self, image: Pixels, calibration: Calibration, fill: int = 0) -> Pixels:
        """The picture seen from above.

        A cell is taken from the pixel at the truncated image coordinates of its centre (no interpolation); pixels count
        from 1, so that column ``⌊u⌋ - 1`` is meant, and a cell is filled where 1 ≤ u ≤ width and 1 ≤ v ≤ height (KITTI
        road's readme).

        Args:
            image: (H, W) or (H, W, C), of any type; an array, or a tensor, which is warped on its device.
            calibration: the picture's.
            fill: value of cells that the picture does not show.

        Returns:
            (rows, columns) or (rows, columns, C), array or tensor as ``image``.
        """
        size = (image.shape[0], image.shape[1])
        table = _table_down(self._grid, calibration.ground_homography().tobytes(), size, _device(image))
        return _sample(image, table, self.shape, fill)

    def unwarp(self, image: Pixels, calibration: Calibration, size: Size, fill: int = 0) -> Pixels:
        """A bird's-eye picture (rows, columns[, C]) in the camera's view, (H, W[, C]) of the given ``size``.

        Each pixel is taken from the cell that its centre lies in; those that look past the grid become ``fill``.
        """
        table = _table_up(self._grid, calibration.ground_homography().tobytes(), size, _device(image))
        return _sample(image, table, size, fill)

    def seen(self, calibration: Calibration, size: Size) -> NDArray[np.bool_]:
        """Which cells a picture of ``size`` shows: (rows, columns)."""
        return ~_table_down(self._grid, calibration.ground_homography().tobytes(), size, "cpu").outside.numpy()

    def to_metres(self, rows: Any, columns: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """x and z in metres of the centres of cells."""
        x = self.x_range[0] + (np.asarray(columns) + 0.5) * self.cell
        z = self.z_range[1] - (np.asarray(rows) + 0.5) * self.cell
        return x, z

    def to_cells(self, x: Any, z: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the cells that points of the road plane lie in, beyond the grid too."""
        rows = np.floor((self.z_range[1] - np.asarray(z)) / self.cell)
        columns = np.floor((np.asarray(x) - self.x_range[0]) / self.cell)
        return rows.astype(np.int64), columns.astype(np.int64)


def to_pixels(x: Any, z: Any, calibration: Calibration) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column and row in the picture of points of the road plane ahead of the camera, metres.

    They count from 0 at the first pixel's edge, so a point lies in the pixel (⌊row⌋, ⌊column⌋).
    """
    u, v, _ = _project(calibration.ground_homography(), np.asarray(x, float), np.asarray(z, float))
    return u - 1, v - 1


def _shape(grid: _Grid) -> tuple[int, int]:
    return (
        round((grid.z_range[1] - grid.z_range[0]) / grid.cell),
        round((grid.x_range[1] - grid.x_range[0]) / grid.cell),
    )


def _project(matrix: NDArray[Any], a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Apply a homography to points (a, b): two coordinates and the scale. Arrays and tensors give the same bits."""
    h = matrix.tolist()
    scale = h[2][0] * a + h[2][1] * b + h[2][2]
    return (h[0][0] * a + h[0][1] * b + h[0][2]) / scale, (h[1][0] * a + h[1][1] * b + h[1][2]) / scale, scale


def _device(image: Any) -> str:
    return "cpu" if isinstance(image, np.ndarray) else str(image.device)


@lru_cache(maxsize=TABLES)
def _table_down(grid: _Grid, homography: bytes, size: Size, device: str) -> _Table:
    import torch

    rows, columns = _shape(grid)
    # The benchmark's coordinates are float32, its matrices float64; other roundings move some cells by a pixel.
    x = torch.from_numpy((grid.x_range[0] + (np.arange(columns) + 0.5) * grid.cell).astype(np.float32)).double()
    z = torch.from_numpy((grid.z_range[1] - (np.arange(rows) + 0.5) * grid.cell).astype(np.float32)).double()
    matrix = np.frombuffer(homography).reshape(3, 3)
    u, v, scale = _project(matrix, x.to(device), z.to(device)[:, None])
    inside = (u >= 1) & (u <= size[1]) & (v >= 1) & (v <= size[0]) & (scale > 0)
    index = (v.int() - 1) * size[1] + u.int() - 1
    return _Table(torch.where(inside, index, 0).flatten(), ~inside)


@lru_cache(maxsize=TABLES)
def _table_up(grid: _Grid, homography: bytes, size: Size, device: str) -> _Table:
    import torch

    rows, columns = _shape(grid)
    matrix = np.linalg.inv(np.frombuffer(homography).reshape(3, 3))
    u = torch.arange(size[1], dtype=torch.float64, device=device) + 1.5  # pixels count from 1, and 0.5 is the centre
    v = torch.arange(size[0], dtype=torch.float64, device=device)[:, None] + 1.5
    x, z, scale = _project(matrix, u, v)
    column, row = torch.floor((x - grid.x_range[0]) / grid.cell), torch.floor((grid.z_range[1] - z) / grid.cell)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows) & (scale > 0)
    return _Table(torch.where(inside, row * columns + column, 0).int().flatten(), ~inside)


def _sample(image: Any, table: _Table, shape: tuple[int, int], fill: int) -> Any:
    channels = tuple(image.shape[2:])
    flat = image.reshape(-1, *channels)
    if isinstance(image, np.ndarray):
        # ``take`` copies whole pixels, five times as fast as an index in brackets where there are channels.
        result = flat.take(table.source.numpy(), axis=0).reshape(*shape, *channels)
        result[table.outside.numpy()] = fill
        return result
    result = flat.index_select(0, table.source).reshape(*shape, *channels)
    return result.masked_fill(table.outside.reshape(*shape, *[1 for _ in channels]), fill)
