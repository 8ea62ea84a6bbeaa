"""A data set in one picture: as it lies on the disk, or as the network sees it in training."""

from collections import defaultdict

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.checks import DataSetError, report
from segkit.data.images import decode_image, resize_image
from segkit.data.legend import Entry, strip
from segkit.data.module import SegmentationDataModule
from segkit.data.overlay import Painter
from segkit.data.records import Record
from segkit.data.sampler import SampleKey
from segkit.errors import printable

CELL_WIDTH = 414
"""Width in pixels of one picture of the sheet."""

LETTERS = 16
"""Height in pixels of those of the legend."""

HIGHEST = 4
"""Widths that a picture of the sheet may be high."""

FONT = cv2.FONT_HERSHEY_SIMPLEX

AUGMENTED = (6, 3)
"""Rows and columns of samples."""


def sheet(module: SegmentationDataModule, per_group: int = 3, painter: Painter | None = None) -> NDArray[np.uint8]:
    """Pictures of each group beside each other, one row per group, evenly spread over it, labels painted over (striped
    where not scored); below them a legend of the classes.

    Unlabelled pictures stand in only for groups without labels. Returns RGB uint8 (H, W, 3).

    Raises:
        DataSetError: there are no pictures.
        PictureError: a file cannot be read.
    """
    painter = painter or Painter(module.class_list)
    groups: dict[str, list[Record]] = defaultdict(list)
    for part in module.layout.parts.values():
        for record in part:
            groups[record.group].append(record)
    if not groups:
        raise DataSetError(report(module.root, module.layout.found, module.layout.problems))
    rows = []
    height = None
    for _, members in sorted(groups.items()):
        members = [record for record in members if record.label] or members
        chosen = [members[i * len(members) // per_group] for i in range(per_group)]
        images = [_painted(module, record, painter) for record in chosen]
        height = height or cell_height(images[0], CELL_WIDTH)
        cells = [resize_image(image, (height, CELL_WIDTH)) for image in images]
        rows.append(np.hstack([titled(cell, record.name) for cell, record in zip(cells, chosen, strict=True)]))
    return _with_legend(np.vstack(rows), painter)


def _with_legend(page: NDArray[np.uint8], painter: Painter) -> NDArray[np.uint8]:
    """The page, below it the names of the classes beside their colours."""
    if not painter.legend:
        return page
    entries = [Entry(item.name, item.colour) for item in painter.class_list if item.colour is not None]
    return np.vstack([page, strip([*entries, Entry("not scored", None)], page.shape[1], LETTERS)])


def _painted(module: SegmentationDataModule, record: Record, painter: Painter) -> NDArray[np.uint8]:
    image = decode_image(record.image, module.max_megapixels)
    return painter.paint_label(image, module.read_label(record.label)) if record.label else image


def cell_height(image: NDArray[np.uint8], width: int) -> int:
    """That of a picture in a cell of ``width``; of very long pictures as much as leaves them visible."""
    height = round(width * image.shape[0] / image.shape[1])
    return min(max(height, 2 * LETTERS), HIGHEST * width)


def titled(image: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    """``image`` (H, W, 3) uint8 with a title written into it, at its upper left."""
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(image, printable(title), (6, 18), FONT, 0.5, colour, thickness, cv2.LINE_AA)
    return image


def augmented_sheet(module: SegmentationDataModule, painter: Painter | None = None) -> NDArray[np.uint8]:
    """Samples as the network sees them in training, each with its label beside it: striped where not scored.

    The pictures are evenly spread over the training part. Returns RGB uint8 (H, W, 3).

    Args:
        module: prepared.
        painter: of its classes; None = as pictures are painted where nobody says how.
    """
    painter = painter or Painter(module.class_list)
    samples = module.training_set()
    rows, columns = AUGMENTED
    cells = []
    for place in range(rows * columns):
        number = place * len(samples) // (rows * columns)
        # Of a small set a picture comes more than once, each time in another epoch.
        image, label, name = samples[SampleKey(place, number, True)]
        height = cell_height(image, CELL_WIDTH)
        shown = resize_image(image, (height, CELL_WIDTH))
        classes = cv2.resize(label, (CELL_WIDTH, height), interpolation=cv2.INTER_NEAREST_EXACT)
        cells.append(titled(np.hstack([shown, painter.paint_label(shown, classes)]), name))  # type: ignore[arg-type]
    page = np.vstack([np.hstack(cells[row * columns : (row + 1) * columns]) for row in range(rows)])
    return _with_legend(page, painter)
