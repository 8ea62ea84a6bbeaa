"""Legends of painted pictures: names beside their colours, in rows and columns that always lie in the same place."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

SMALLEST = 12
"""Pixels: the smallest letters that can be read."""

UNSCORED: tuple[Colour, Colour] = ((90, 90, 90), (150, 150, 150))
"""Two greys, whose diagonal stripes stand for pixels that are not scored."""


class Entry(NamedTuple):
    """A line of a legend: a patch of ``colour`` (None: the stripes of what is not scored), a name, and a number."""

    name: str
    colour: Colour | None
    number: str = ""


@dataclass(frozen=True)
class Legend:
    """Cells for at most ``rows · columns`` entries.

    Attributes:
        letters: their height in pixels.
        rows, columns: of cells.
        cell: the width of a cell in pixels.
        downwards: whether the second entry stands below the first one, or to its right.
    """

    letters: int
    rows: int
    columns: int
    cell: int
    downwards: bool

    @classmethod
    def below(cls, entries: Sequence[Entry], width: int, letters: int) -> "Legend":
        """As many columns as ``width`` has room for."""
        cell = _cell(entries, letters)
        columns = max(1, min(len(entries), width // cell))
        return cls(letters, -(-len(entries) // columns), columns, cell, False)

    @classmethod
    def beside(cls, entries: Sequence[Entry], height: int, letters: int) -> "Legend":
        """As many rows as ``height`` has room for."""
        cell = _cell(entries, letters)
        columns = -(-len(entries) // max(1, height // _line(letters)))
        return cls(letters, -(-len(entries) // columns), columns, cell, True)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rows * _line(self.letters), self.columns * self.cell

    def draw(self, entries: Sequence[Entry], size: tuple[int, int]) -> Pixels:
        """RGB uint8 (H, W, 3) of ``size`` (height, width), black on white, the cells at its upper left."""
        letters, line = self.letters, _line(self.letters)
        canvas = np.full((*size, 3), 255, np.uint8)
        for place, entry in enumerate(entries):
            first, second = divmod(place, self.rows if self.downwards else self.columns)
            row, column = (second, first) if self.downwards else (first, second)
            top, left = row * line, column * self.cell
            edge = (line - letters) // 2
            patch = canvas[top + edge : top + edge + letters, left + edge : left + edge + letters]
            if entry.colour is None:
                strike_out(patch, np.ones(patch.shape[:2], np.bool_))
            else:
                patch[:] = entry.colour
            cv2.rectangle(canvas, (left + edge, top + edge), (left + edge + letters, top + edge + letters), (90,) * 3)
            name = left + edge + letters + letters // 2
            write(canvas, entry.name, (name, top), letters)
            # Below each other numbers end in one column; in a row each keeps to its name.
            number = left + self.cell - letters // 2 - text_width(entry.number, letters)
            if not self.downwards:
                number = name + text_width(entry.name, letters) + letters // 2
            write(canvas, entry.number, (number, top), letters)
        return canvas


def strip(entries: Sequence[Entry], width: int, letters: int) -> Pixels:
    """A legend to be put below a picture of ``width``: RGB uint8 (H, W, 3)."""
    legend = Legend.below(entries, width, letters)
    return legend.draw(entries, (legend.size[0], width))


def strike_out(picture: Pixels, where: NDArray[np.bool_]) -> None:
    """Put the stripes of what is not scored into a picture RGB uint8 (H, W, 3), ``where`` (H, W) says so."""
    rows, columns = where.shape
    stripe = (np.arange(rows)[:, None] + np.arange(columns)) // 6 % 2
    picture[where] = np.array(UNSCORED, np.uint8)[stripe[where]]


def write(canvas: Pixels, text: str, corner: tuple[int, int], letters: int) -> None:
    """Put a line of black text on a light RGB picture, its upper left corner at (x, y), as far as it fits."""
    if text:
        left, top = corner
        ink = _ink(text, letters)[: max(0, len(canvas) - top), : max(0, canvas.shape[1] - left)]
        region = canvas[top : top + ink.shape[0], left : left + ink.shape[1]]
        np.minimum(region, ink[..., None], out=region)


def text_width(text: str, letters: int) -> int:
    """Pixels."""
    return round(_font(letters).getlength(text))


def _line(letters: int) -> int:
    """The height of a line in pixels."""
    return round(1.5 * letters)


def _cell(entries: Sequence[Entry], letters: int) -> int:
    """The width of a cell: the patch, the widest name, the widest number, and gaps."""
    names = max(text_width(entry.name, letters) for entry in entries)
    numbers = max(text_width(entry.number, letters) for entry in entries)
    return 3 * letters + names + (numbers + letters if numbers else 0)


@cache
def _font(letters: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # OpenCV's own letters are ASCII alone

    # The letters of this font are as high as 1.0 of ``size`` from the highest to the lowest.
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", letters)


@lru_cache(4096)
def _ink(text: str, letters: int) -> Pixels:
    """Black text on white, uint8 (height of a line, width)."""
    font, line = _font(letters), _line(letters)
    drawn = Image.new("L", (text_width(text, letters) + 2, line), 255)
    ImageDraw.Draw(drawn).text((0, line / 2), text, 0, font, anchor="lm")
    return np.asarray(drawn)
