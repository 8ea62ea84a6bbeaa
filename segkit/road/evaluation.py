"""Counting pictures in the image and in bird's-eye view, and what is read off the counts."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from segkit.data.records import IGNORE_INDEX, Record
from segkit.road import BirdsEyeView, Calibration
from segkit.road.calibration import calibration_of
from segkit.road.score import RoadScore, Scores, confidence_counts

GRID = BirdsEyeView()

VIEWS = ("perspective", "bev")
"""The two views by their names in settings and results: in the picture, and from above."""


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
        calibration = calibration_of(record) if "bev" in self.scores else None
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


def _with_reasons(scores: dict[str, Scores], missing: dict[str, str]) -> dict[str, Any]:
    return {name: values | ({"reason": missing[name]} if name in missing else {}) for name, values in scores.items()}
