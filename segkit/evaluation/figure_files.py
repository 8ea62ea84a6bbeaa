"""Which figures of class scores are kept: the confusion matrix and the worst pictures, PNG files in ``figures/``."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.data.overlay import Painter
from segkit.data.writer import png
from segkit.evaluation.figures import confusion_figure, error_figure
from segkit.metrics.benchmark import Scored
from segkit.metrics.class_evaluation import PictureScore
from segkit.runs.files import write_whole

OWN = ("figures/*/confusion.png", "figures/*/worst_[0-9]_*.png")
"""What an evaluation writes; whatever else lies in its folder is somebody's own."""

WORST = 4
"""Pictures that are shown."""

APART = 10
"""Frames of a drive between two of them at least, where there are others."""


def write_figures(folder: Path, scored: Mapping[str, Scored], painter: Painter) -> None:
    """Write ``figures/<condition>/confusion.png``, and ``worst_<rank>_<name>.png`` beside it.

    Args:
        folder: the evaluation's.
        scored: by condition, ``clean`` among them, of networks.
        painter: of the classes that are scored.

    Raises:
        UserError: a picture cannot be written.
    """
    for pattern in OWN:  # of an evaluation before this one in the same folder
        for path in folder.glob(pattern):
            path.unlink()
    for condition, item in scored.items():
        assert item.classes is not None
        assert item.predicted is not None
        place = folder / "figures" / condition.replace(" ", "_")
        matrix, names = item.classes.matrices().sum(0), [one.name for one in item.classes.class_list]
        pictures = f"{len(item.classes.records)} pictures" + ("" if condition == "clean" else f", {condition}")
        _write(place / "confusion.png", confusion_figure(matrix, names, f"Confusion matrix, {pictures}"))
        records = {record.name: record for record in item.classes.records}
        for rank, picture in enumerate(worst(item.classes.pictures(), WORST), start=1):
            image, predicted, label = item.predicted(records[picture.name])
            title = f"{picture.name}: mean IoU {100 * picture.mean_iou:.1f} %, accuracy {100 * picture.accuracy:.1f} %"
            shown = error_figure(image, label, predicted, painter, title)
            _write(place / f"worst_{rank}_{picture.name}.png", shown)


def worst(pictures: Sequence[PictureScore], count: int) -> list[PictureScore]:
    """At most ``count`` pictures with the lowest mean IoU, the lowest first; equal ones in the order of their names.

    Neighbouring frames of a drive show the same mistake, so of those within ``APART`` frames the worst one is there;
    where that leaves too few, they are taken after all. Pictures of which nothing is scored are left out.
    """
    known = [picture for picture in pictures if not math.isnan(picture.mean_iou)]
    place = {picture.name: i for i, picture in enumerate(sorted(pictures, key=lambda each: (each.group, each.name)))}
    ordered = sorted(known, key=lambda picture: (picture.mean_iou, picture.name))
    chosen: list[PictureScore] = []
    for picture in ordered:
        of_its_drive = [place[other.name] for other in chosen if other.group == picture.group]
        if len(chosen) < count and all(abs(other - place[picture.name]) >= APART for other in of_its_drive):
            chosen.append(picture)
    left = [picture for picture in ordered if picture not in chosen]
    return sorted([*chosen, *left][:count], key=ordered.index)


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, png(picture))
