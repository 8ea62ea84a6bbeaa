"""Painting classes over pictures: the same colours, outlines and legend wherever segkit shows classes."""

from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.legend import SMALLEST, Entry, Legend, strike_out
from segkit.data.palette import colour_blind
from segkit.data.records import IGNORE_INDEX, SegmentationClass

Pixels = NDArray[np.uint8]

CLEARLY = 1.5
"""A class moves up in the legend of a video where it has so many times the pixels of the one before it."""

NEIGHBOURS = np.ones((3, 3), np.uint8)


class Area(NamedTuple):
    """The number of a class that occurs in a picture, and its share of the picture's pixels, 0…1."""

    number: int
    share: float


class Painter:
    """How classes are painted. It does not change, so any thread may use it.

    Args:
        class_list: the classes by their numbers; those without a colour are not painted.
        alpha: share of the colour, 0…1.
        outlines: whether a painted area ends in a line of its full colour.
        legend: whether a picture gets a legend; ``auto`` = where more than one class is painted.
        colours: ``own`` = those of ``class_list``; ``colour_blind`` = see :func:`segkit.data.palette.colour_blind`.

    Attributes:
        class_list: the classes, with the colours that they are painted in.

    Raises:
        UserError: there are not so many colours.
    """

    def __init__(
        self,
        class_list: Sequence[SegmentationClass],
        alpha: float = 0.5,
        outlines: bool = True,
        legend: bool | Literal["auto"] = "auto",
        colours: Literal["own", "colour_blind"] = "own",
    ) -> None:
        self.class_list = colour_blind(class_list) if colours == "colour_blind" else tuple(class_list)
        self.alpha, self.outlines = alpha, outlines
        self._colours = np.zeros((256, 1, 3), np.uint8)
        self._bare = np.full(256, 255, np.uint8)
        for number, item in enumerate(self.class_list):
            if item.colour is not None:
                self._colours[number], self._bare[number] = item.colour, 0
        self._names = tuple(item.name for item in self.class_list if item.colour is not None)
        self.legend = len(self._names) > 1 if legend == "auto" else legend and bool(self._names)

    def paint(self, image: Pixels, classes: Pixels) -> Pixels:
        """The picture with each class's colour laid over its pixels.

        Args:
            image: RGB, uint8 (H, W, 3).
            classes: class numbers, uint8 (H, W); 255 and classes without a colour are left as they are.

        Returns:
            RGB, uint8 (H, W, 3), a new array.
        """
        # Three passes over the picture, however many classes there are; numpy's indexing takes ten times as long.
        full = cv2.applyColorMap(classes, self._colours)
        cv2.copyTo(image, cv2.LUT(classes, self._bare), full)
        painted = cv2.addWeighted(image, 1 - self.alpha, full, self.alpha, 0)
        if self.outlines:
            cv2.copyTo(full, cv2.morphologyEx(classes, cv2.MORPH_GRADIENT, NEIGHBOURS), painted)
        return painted.astype(np.uint8, copy=False)

    def paint_label(self, image: Pixels, label: Pixels) -> Pixels:
        """As ``paint``; pixels that are not scored (255) are striped."""
        painted = self.paint(image, label)
        strike_out(painted, label == IGNORE_INDEX)
        return painted

    def areas(self, classes: Pixels, before: Sequence[Area] = ()) -> tuple[Area, ...]:
        """The classes that occur, in the order of the legend: those with most pixels first.

        Args:
            classes: class numbers, uint8 (H, W); other values are left out.
            before: the areas of the frame before this one, whose order stays where no class has clearly outgrown the
                one before it: so the legend of a video stands still.
        """
        counts = cv2.calcHist([classes], [0], None, [256], [0, 256]).ravel()[: len(self.class_list)]
        shares = {number: float(counts[number]) / classes.size for number in np.flatnonzero(counts).tolist()}
        order = [area.number for area in before if area.number in shares]
        order += sorted((number for number in shares if number not in order), key=lambda number: -shares[number])
        factor = CLEARLY if before else 1.0
        for end in range(1, len(order)):
            place = end
            while place and shares[order[place]] > factor * shares[order[place - 1]]:
                order[place - 1 : place + 1] = order[place], order[place - 1]
                place -= 1
        return tuple(Area(number, shares[number]) for number in order)

    def with_legend(self, picture: Pixels, areas: Sequence[Area]) -> Pixels:
        """The picture with the legend of ``areas`` to its right, below it where it is more than twice as wide as high.

        The picture stays at the upper left. All pictures of one size get the same size and the same cells, however
        many classes occur. The picture itself where no legend is wanted.
        """
        if not self.legend:
            return picture
        height, width = picture.shape[:2]
        legend = _place(self._names, height, width)
        rows, columns = legend.size
        entries = self.entries(areas)
        if legend.downwards:
            total = max(height, rows)
            return np.hstack([_extended(picture, total, width), legend.draw(entries, (total, columns))])
        return np.vstack([picture, legend.draw(entries, (rows, width))])

    def shares(self, areas: Sequence[Area]) -> dict[str, float]:
        """``areas`` as ``result.json`` has them, with names."""
        return {self.class_list[area.number].name: round(area.share, 6) for area in areas}

    def entries(self, areas: Sequence[Area]) -> list[Entry]:
        """Lines of a legend: the painted ones of ``areas`` with their shares."""
        named = [(self.class_list[area.number], area.share) for area in areas]
        return [Entry(item.name, item.colour, percent(share)) for item, share in named if item.colour is not None]


def mean_areas(pictures: Collection[Sequence[Area]]) -> tuple[Area, ...]:
    """The mean shares over pictures, the largest first; every picture weighs the same."""
    total: Counter[int] = Counter()
    for areas in pictures:
        total.update(dict(areas))
    return tuple(Area(number, share / len(pictures)) for number, share in total.most_common())


def percent(share: float) -> str:
    """A share 0…1 as people read it."""
    return "<0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


@lru_cache
def _place(names: Sequence[str], height: int, width: int) -> Legend:
    """The legend of a picture, with a cell for each of ``names``."""
    entries = [Entry(name, None, "100.0 %") for name in names]
    letters = max(SMALLEST, round(min(height, width) / 30))
    below = Legend.below(entries, width, letters)
    if width > 2 * height and below.size[1] <= width:
        return below
    return Legend.beside(entries, height, letters)


def _extended(picture: Pixels, height: int, width: int) -> Pixels:
    if picture.shape[:2] == (height, width):
        return picture
    page = np.full((height, width, 3), 255, np.uint8)
    page[: picture.shape[0], : picture.shape[1]] = picture
    return page
