"""What a data set is made of: classes and records (a picture and, where there is one, its label file)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""The endings of picture files."""

IGNORE_INDEX = 255
"""Label value of pixels that neither the loss nor any score counts, from the reader to the metric."""


@dataclass(frozen=True)
class SegmentationClass:
    """A class as people see it; its label value is its position in the data module's ``class_list``.

    ``colour`` is RGB, 0…255; ``None`` leaves the class unpainted on overlays. A ``background`` is what is left when
    all that is looked for is taken away: the score ``iou`` is the mean over the other classes.
    """

    name: str
    colour: tuple[int, int, int] | None
    background: bool = False


@dataclass(frozen=True)
class Record:
    """One picture of a data set.

    ``name`` is unique within the data set (``um_000005``). Records of one ``group`` (KITTI's category, a CamVid drive)
    in name order are consecutive frames. ``label`` is ``None`` for pictures without a published label. ``extra`` holds
    the data set's other files of this picture, by what they are (``calibration``).
    """

    name: str
    group: str
    image: Path
    label: Path | None
    extra: Mapping[str, Path] = field(default_factory=dict, hash=False)


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of them, at even distances, the first among them."""
    count = min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]
