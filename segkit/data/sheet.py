"""A data set in one picture: as it lies on the disk, or as the network sees it in training."""

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.checks import DataSetError, report
from segkit.data.images import decode_image, resize_image
from segkit.data.module import SegmentationDataModule
from segkit.data.overlay import paint
from segkit.data.records import IGNORE_INDEX, Record, SegmentationClass
from segkit.data.sampler import SampleKey

CELL_WIDTH = 414
"""Width in pixels of one picture of the sheet."""

LINE = 28
"""Height in pixels of a line of the legend."""

FONT = cv2.FONT_HERSHEY_SIMPLEX

AUGMENTED = (6, 3)
"""Rows and columns of samples."""

UNSCORED = ((90, 90, 90), (150, 150, 150))
"""Two greys, whose diagonal stripes stand for pixels that are not scored."""


def sheet(module: SegmentationDataModule, per_group: int = 3) -> NDArray[np.uint8]:
    """Pictures of each group beside each other, one row per group, evenly spread over it, labels painted over; below
    them a legend of the classes.

    Unlabelled pictures stand in only for groups without labels. Returns RGB uint8 (H, W, 3).

    Raises:
        DataSetError: there are no pictures.
        PictureError: a file cannot be read.
    """
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
        images = [_painted(module, record) for record in chosen]
        height = height or round(CELL_WIDTH * images[0].shape[0] / images[0].shape[1])
        cells = [resize_image(image, (height, CELL_WIDTH)) for image in images]
        rows.append(np.hstack([titled(cell, record.name) for cell, record in zip(cells, chosen, strict=True)]))
    return _with_legend(np.vstack(rows), module.class_list)


def _with_legend(page: NDArray[np.uint8], class_list: Sequence[SegmentationClass]) -> NDArray[np.uint8]:
    """The page, below it the names of several classes beside their colours; one colour needs no names."""
    painted = {item.name: item.colour for item in class_list if item.colour is not None}
    if len(painted) < 2:
        return page
    widest = max(cv2.getTextSize(name, FONT, 0.5, 1)[0][0] for name in painted)
    columns = max(1, page.shape[1] // (LINE + widest + LINE))
    rows = -(-len(painted) // columns)
    strip = np.full((rows * LINE, page.shape[1], 3), 255, np.uint8)
    for place, (name, colour) in enumerate(painted.items()):
        top, left = place // columns * LINE, place % columns * (LINE + widest + LINE)
        cv2.rectangle(strip, (left + 5, top + 5), (left + LINE - 5, top + LINE - 5), colour, cv2.FILLED)
        cv2.putText(strip, name, (left + LINE, top + LINE - 8), FONT, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([page, strip])


def _painted(module: SegmentationDataModule, record: Record) -> NDArray[np.uint8]:
    image = decode_image(record.image)
    return paint(image, module.read_label(record.label), module.class_list) if record.label else image


def titled(image: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    """``image`` (H, W, 3) uint8 with a title written into it, at its upper left."""
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(image, title, (6, 18), FONT, 0.5, colour, thickness, cv2.LINE_AA)
    return image


def augmented_sheet(module: SegmentationDataModule) -> NDArray[np.uint8]:
    """Samples as the network sees them in training, each with its label beside it: striped where not scored.

    The pictures are evenly spread over the training part. Returns RGB uint8 (H, W, 3).

    Args:
        module: prepared.
    """
    samples = module.training_set()
    rows, columns = AUGMENTED
    cells = []
    for place in range(rows * columns):
        number = place * len(samples) // (rows * columns)
        # Of a small set a picture comes more than once, each time in another epoch.
        image, label, name = samples[SampleKey(place, number, True)]
        height = round(CELL_WIDTH * image.shape[0] / image.shape[1])
        shown = resize_image(image, (height, CELL_WIDTH))
        classes = cv2.resize(label, (CELL_WIDTH, height), interpolation=cv2.INTER_NEAREST_EXACT)
        cells.append(titled(np.hstack([shown, _label_over(shown, classes, module)]), name))  # type: ignore[arg-type]
    page = np.vstack([np.hstack(cells[row * columns : (row + 1) * columns]) for row in range(rows)])
    return _with_legend(page, module.class_list)


def _label_over(
    image: NDArray[np.uint8], label: NDArray[np.uint8], module: SegmentationDataModule
) -> NDArray[np.uint8]:
    painted = paint(image, label, module.class_list, alpha=0.65)
    stripe = np.indices(label.shape).sum(0) // 6 % 2
    return np.where((label == IGNORE_INDEX)[..., None], np.array(UNSCORED, np.uint8)[stripe], painted)
