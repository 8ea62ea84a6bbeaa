"""All painted pictures on one sheet, to be looked at together."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.legend import strip
from segkit.data.overlay import Area, Painter, mean_areas
from segkit.data.sheet import LETTERS, cell_height, titled
from segkit.data.writer import Prediction, Writer
from segkit.errors import UserError
from segkit.runs.files import write_whole

COLUMNS = 3
CELL_WIDTH = 620
"""Width in pixels of one picture of the sheet; its height follows."""

LARGEST = 65500
"""Pixels, the most that OpenCV writes into a JPEG in either direction."""


class Sheet(Writer):
    """``sheet.jpg``: every painted picture with its name, by their paths; ``COLUMNS`` in a row, or more.

    One legend stands below all of them, with the mean shares of the classes.
    """

    name = "sheet"
    per_picture = False
    files = ("sheet.jpg",)

    def __init__(self) -> None:
        self._cells: dict[Path, NDArray[np.uint8]] = {}
        self._areas: dict[Path, Sequence[Area]] = {}
        self._painter: Painter | None = None

    def encode(self, prediction: Prediction) -> None:
        size = CELL_WIDTH, cell_height(prediction.image, CELL_WIDTH)
        cell = cv2.resize(prediction.painted, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        self._cells[prediction.path] = titled(cell, prediction.path.stem)
        self._areas[prediction.path] = prediction.areas
        self._painter = prediction.painter

    def finish(self, folder: Path, complete: bool) -> int | None:
        if not self._cells:
            return None
        cells = [self._cells[path] for path in sorted(self._cells)]
        columns, legend = COLUMNS, self._legend(COLUMNS)
        while _height(cells, columns) + len(legend) > LARGEST and columns < len(cells):
            columns += COLUMNS
            legend = self._legend(columns)
        if max(_height(cells, columns) + len(legend), columns * CELL_WIDTH) > LARGEST:
            raise UserError(f"format=sheet: {len(cells)} pictures do not go on one sheet; give fewer, or leave it out")
        page = np.vstack([_page(cells, columns), legend])
        encoded = cv2.imencode(".jpg", page[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 85))[1]
        write_whole(folder / self.files[0], encoded.tobytes())
        return len(cells)

    def _legend(self, columns: int) -> NDArray[np.uint8]:
        """As wide as the sheet; without a row where there is none."""
        width = columns * CELL_WIDTH
        if self._painter is None or not self._painter.legend:
            return np.zeros((0, width, 3), np.uint8)
        return strip(self._painter.entries(mean_areas(self._areas.values())), width, LETTERS)


def _rows(cells: Sequence[NDArray[np.uint8]], columns: int) -> list[Sequence[NDArray[np.uint8]]]:
    return [cells[first : first + columns] for first in range(0, len(cells), columns)]


def _height(cells: Sequence[NDArray[np.uint8]], columns: int) -> int:
    return sum(max(map(len, row)) for row in _rows(cells, columns))


def _page(cells: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    page = np.zeros((_height(cells, columns), columns * CELL_WIDTH, 3), np.uint8)
    top = 0
    for row in _rows(cells, columns):
        for number, cell in enumerate(row):
            page[top : top + len(cell), number * CELL_WIDTH : (number + 1) * CELL_WIDTH] = cell
        top += max(map(len, row))
    return page
