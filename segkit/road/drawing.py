"""The free road drawn on a picture and on a bird's-eye view: the path with its length, and the road's widths."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.road.birds_eye import BirdsEyeView, to_pixels
from segkit.road.calibration import Calibration
from segkit.road.free_space import PATH_WIDTH, FreeRoad

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

PATH: Colour = (255, 214, 0)
WIDTH: Colour = (120, 230, 255)

_NEAREST = 3.0
"""Metres: the path is drawn from here on, which KITTI's cameras see below their pictures."""
_SHIFT = 4
"""Fractional bits of OpenCV's coordinates."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class _Box(NamedTuple):
    """Whole pixels, ``right`` and ``bottom`` one past the last."""

    left: int
    top: int
    right: int
    bottom: int


def draw_on_picture(image: Image, free: FreeRoad, calibration: Calibration) -> Image:
    """The camera's picture, RGB uint8 (H, W, 3), with the free road drawn on it: a new array."""
    return _draw(image, free, lambda x, z: to_pixels(x, z, calibration))


def draw_on_birds_eye(image: Image, free: FreeRoad, view: BirdsEyeView) -> Image:
    """A picture of ``view``'s grid, RGB uint8 (rows, columns, 3), with the free road drawn on it: a new array."""
    return _draw(image, free, lambda x, z: ((x - view.x_range[0]) / view.cell, (view.z_range[1] - z) / view.cell))


def _draw(image: Image, free: FreeRoad, place: Callable[[float, float], tuple[Any, Any]]) -> Image:
    """``place`` gives column and row, counted from 0 at the first pixel's edge, of a point x, z of the road."""
    canvas = _Canvas(image.copy())

    def at(x: float, z: float) -> tuple[float, float]:
        column, row = place(x, z)
        return float(column), float(row)

    half = PATH_WIDTH / 2
    for distance, stretch in free.stretches.items():
        if stretch is not None:
            canvas.line(at(stretch[0], distance), at(stretch[1], distance), WIDTH)
    if free.ahead > 0:
        for x in (-half, half):
            canvas.line(at(x, _NEAREST), at(x, free.ahead), PATH)
        canvas.line(at(-half, free.ahead), at(half, free.ahead), PATH)
    column, row = at(0, max(free.ahead, _NEAREST))
    canvas.text_above(f"free {'' if free.blocked else '>= '}{free.ahead:.1f} m", (column, row), PATH)
    for distance, stretch in free.stretches.items():
        if stretch is not None:
            sign = ">= " if distance in free.cut_off else ""
            text = f"{distance} m: {sign}{stretch[1] - stretch[0]:.1f} m"
            canvas.text_beside(text, at(stretch[0], distance), at(stretch[1], distance), WIDTH)
    return canvas.image


class _Canvas:
    """Lines, and texts on dark boxes that neither overlap nor leave the picture."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.height, self.width = image.shape[:2]
        # As large as a 400 pixels wide bird's-eye view needs it; smaller could not be read.
        self.unit = max(min(self.height, self.width) / 400, 0.85)
        self.boxes: list[_Box] = []

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: Colour) -> None:
        # OpenCV counts from the first pixel's centre.
        ends = np.rint((np.clip([start, end], -8000, 8000) - 0.5) * 2**_SHIFT).astype(int).tolist()
        cv2.line(self.image, ends[0], ends[1], colour, round(2 * self.unit), cv2.LINE_AA, _SHIFT)

    def text_above(self, text: str, point: tuple[float, float], colour: Colour) -> None:
        """Over a point, its middle there."""
        width, height = self._size(text)
        self._text(text, [], (point[0] - width / 2, point[1] - height - 3 * self.unit), colour)

    def text_beside(self, text: str, left: tuple[float, float], right: tuple[float, float], colour: Colour) -> None:
        """Behind the right end of a line or before its left one; over its right end where there is room for neither."""
        width, height = self._size(text)
        gap = 4 * self.unit
        behind = right[0] + gap, right[1] - height / 2
        before = left[0] - gap - width, left[1] - height / 2
        self._text(text, [behind, before], (right[0] - gap - width, right[1] - height - gap), colour)

    def _size(self, text: str) -> tuple[int, int]:
        (width, height), _ = cv2.getTextSize(text, _FONT, 0.45 * self.unit, self._thickness)
        return width + 2 * self._padding, height + 2 * self._padding

    @property
    def _padding(self) -> int:
        return round(3 * self.unit)

    @property
    def _thickness(self) -> int:
        return max(round(self.unit), 1)

    def _text(self, text: str, corners: list[tuple[float, float]], other: tuple[float, float], colour: Colour) -> None:
        """Write with the top left corner as near as may be above or below one of ``corners``.

        Where there is room for none it is ``other``, moved into the picture; a text that fits nowhere is left out.
        """
        width, height = self._size(text)
        corners = [corner for corner in corners if corner[0] >= 0 and corner[0] + width <= self.width]
        inside = min(max(other[0], 0), self.width - width), min(max(other[1], 0), self.height - height)
        for left, top in self._around(corners or [inside]):
            box = _Box(left, top, left + width, top + height)
            if self._fits(box):
                break
        else:
            return
        self.boxes.append(box)
        region = self.image[box.top : box.bottom, box.left : box.right]
        region[:] = region // 3
        place = (box.left + self._padding, box.bottom - self._padding)
        cv2.putText(self.image, text, place, _FONT, 0.45 * self.unit, colour, self._thickness, cv2.LINE_AA)

    def _around(self, corners: list[tuple[float, float]]) -> Iterator[tuple[int, int]]:
        """The corners, then those a row above and below, then two rows, …"""
        for offset in range(self.height):
            for left, top in corners:
                yield round(left), round(top) - offset
                yield round(left), round(top) + offset

    def _fits(self, box: _Box) -> bool:
        inside = box.left >= 0 and box.top >= 0 and box.right <= self.width and box.bottom <= self.height
        return inside and not any(
            box.left < other.right and other.left < box.right and box.top < other.bottom and other.top < box.bottom
            for other in self.boxes
        )
