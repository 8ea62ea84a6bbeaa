"""Counting pictures in the image and in bird's-eye view, and what is read off the counts."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segkit.data.checks import PictureError, Problem, grouped
from segkit.data.images import decode_image
from segkit.data.module import SegmentationDataModule
from segkit.data.records import IGNORE_INDEX, Record
from segkit.errors import UserError
from segkit.evaluation import VIEWS
from segkit.metrics.confusion import ConfusionMatrix
from segkit.predict.pipeline import ahead
from segkit.road import BirdsEyeView, Calibration
from segkit.road.layout import calibration_path
from segkit.road.score import RoadScore, Scores, confidence_counts

GRID = BirdsEyeView()


def views_of(view: str) -> tuple[str, ...]:
    """``both`` as the two views, another one as itself."""
    return VIEWS if view == "both" else (view,)


def check_calibrations(records: Sequence[Record], view: str) -> None:
    """Raises UserError when bird's-eye view is asked for and a record has no calibration."""
    bare = [record for record in records if record.calibration is None]
    if "bev" in views_of(view) and bare:
        raise UserError(
            f"view={view}: {len(bare)} of {len(records)} pictures have no calibration (the first: "
            f"{calibration_path(bare[0].image)});\n"
            "view=perspective needs none"
        )


def in_view(view: str, confidence: Tensor, label: Tensor, calibration: Calibration | None) -> tuple[Tensor, Tensor]:
    """Confidence and label (H, W) of a picture as ``view`` shows them; what the picture does not show is not scored.

    A confidence map that is in bird's-eye view already, of the grid's shape, is left as it is.
    """
    if view == "perspective":
        return confidence, label
    assert calibration is not None
    if confidence.shape == label.shape:
        confidence = GRID.warp(confidence, calibration)
    return confidence, GRID.warp(label, calibration, IGNORE_INDEX)


class RoadEvaluation:
    """The road score of a set of pictures in each view, with the counts of every single picture."""

    def __init__(self, target: Literal["road", "lane"], views: Sequence[str]) -> None:
        self.scores = {view: RoadScore(target) for view in views}
        self.counts: dict[str, dict[str, Tensor]] = {view: {} for view in views}

    def count(self, record: Record, confidence: Tensor, label: Tensor) -> dict[str, Tensor]:
        """One picture's counts (2, 256) by view, on the CPU; ``add`` takes them. Runs in any thread."""
        calibration = None
        if "bev" in self.scores:
            assert record.calibration is not None
            calibration = Calibration.from_file(record.calibration)
        return {view: confidence_counts(*in_view(view, confidence, label, calibration)).cpu() for view in self.scores}

    def add(self, record: Record, counts: dict[str, Tensor]) -> None:
        """Add a picture of ``count``."""
        for view, score in self.scores.items():
            score.add(counts[view], record.group)
            self.counts[view][record.name] = counts[view]

    def result(self) -> dict[str, dict[str, Any]]:
        """Scores by view and category, as ``result.json`` has them; a category without scores says why."""
        return {view: _with_reasons(score.compute(), score.missing()) for view, score in self.scores.items()}

    def working_point(self, view: str) -> int:
        """The confidence value, 0…255, at which all pictures together reach MaxF; 128 when there is no score."""
        threshold = list(self.scores[view].compute().values())[-1]["threshold"]
        return 128 if math.isnan(threshold) else round(threshold * 255)

    def f1(self, view: str) -> dict[str, float]:
        """F1 in percent of each picture at the common working point; NaN where there is nothing to find or found."""
        k = self.working_point(view)
        scores = {}
        for name, counts in self.counts[view].items():
            hits, positives, road = (float(n) for n in (counts[1, k:].sum(), counts[:, k:].sum(), counts[1].sum()))
            scores[name] = 200 * hits / (positives + road) if positives + road else math.nan
        return scores


@dataclass(frozen=True)
class Scored:
    """What was scored under one condition (the pictures as they are, or corrupted).

    ``road`` is None where the road score does not apply, ``classes`` where only confidence of the road is known.
    ``shown(record)`` gives a picture again as it was scored: RGB (H, W, 3), confidence and label, on the CPU.
    """

    road: RoadEvaluation | None
    classes: ConfusionMatrix | None
    shown: Callable[[Record], tuple[NDArray[np.uint8], Tensor, Tensor]]


def score_maps(
    read: Callable[[Record], NDArray[np.uint8]],
    data: SegmentationDataModule,
    records: Sequence[Record],
    views: Sequence[str],
    on_done: Callable[[], None],
) -> Scored:
    """Score the confidence maps that ``read`` gives, uint8 (H, W) or of the bird's-eye grid's shape.

    Raises:
        UserError: maps or labels cannot be read: one report of all.
    """
    assert data.road_target is not None
    road = RoadEvaluation(data.road_target, views)

    def pair(record: Record) -> tuple[Tensor, Tensor]:
        assert record.label is not None
        return torch.from_numpy(read(record)), torch.from_numpy(data.read_label(record.label))

    def count(record: Record) -> dict[str, Tensor] | UserError:
        try:
            return road.count(record, *pair(record))
        except UserError as error:
            return error

    unusable = []
    for record, counts in ahead(count, records):
        if isinstance(counts, UserError):
            kind = counts.kind if isinstance(counts, PictureError) else "files that cannot be used"
            unusable.append(Problem(kind, str(counts)))
        else:
            road.add(record, counts)
        on_done()
    if unusable:
        raise UserError("\n".join(["Not every picture can be scored.", *grouped(unusable)]))
    return Scored(road, None, lambda record: (decode_image(record.image), *pair(record)))


def _with_reasons(scores: dict[str, Scores], missing: dict[str, str]) -> dict[str, Any]:
    return {name: values | ({"reason": missing[name]} if name in missing else {}) for name, values in scores.items()}
