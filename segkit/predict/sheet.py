"""All painted pictures on one sheet, to be looked at together."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.sheet import titled
from segkit.data.writer import Prediction, Writer
from segkit.runs.files import write_whole

COLUMNS = 3
CELL_WIDTH = 620
"""Width in pixels of one picture of the sheet; its height follows."""


class Sheet(Writer):
    """``sheet.jpg``: every painted picture with its name, ``COLUMNS`` in a row, by their paths."""

    name = "sheet"
    per_picture = False
    files = ("sheet.jpg",)

    def __init__(self) -> None:
        self._cells: dict[Path, NDArray[np.uint8]] = {}

    def encode(self, prediction: Prediction) -> None:
        height, width = prediction.image.shape[:2]
        size = CELL_WIDTH, max(round(CELL_WIDTH * height / width), 1)
        cell = cv2.resize(prediction.painted, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        self._cells[prediction.path] = titled(cell, prediction.path.stem)

    def finish(self, folder: Path, complete: bool) -> int | None:
        if not self._cells:
            return None
        cells = [self._cells[path] for path in sorted(self._cells)]
        rows = []
        for first in range(0, len(cells), COLUMNS):
            row = cells[first : first + COLUMNS]
            page = np.zeros((max(len(cell) for cell in row), COLUMNS * CELL_WIDTH, 3), np.uint8)
            for number, cell in enumerate(row):
                page[: len(cell), number * CELL_WIDTH : (number + 1) * CELL_WIDTH] = cell
            rows.append(page)
        encoded = cv2.imencode(".jpg", np.vstack(rows)[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 85))[1]
        write_whole(folder / self.files[0], encoded.tobytes())
        return len(cells)
