"""Scores as text: aligned columns, for the screen and for logs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from segkit.road.score import SCORE_NAMES, Scores

NOTHING = "–"
"""Stands where a score does not exist."""

LOSSES = ("MaxF", "AP")
"""The scores that say how good a network is; the others go with the working point, which may move."""


def leaderboard(result: Mapping[str, Scores], missing: Mapping[str, str]) -> str:
    """The table of KITTI's leaderboard, and the threshold of the working point.

    Args:
        result: scores by benchmark (``UM_ROAD``), in percent but for the threshold.
        missing: why a benchmark has no scores, by its name.
    """
    rows = [["Benchmark", *SCORE_NAMES, ""]]
    for name, scores in result.items():
        rows.append([name, *(_shown(score, scores[score]) for score in SCORE_NAMES), missing.get(name, "")])
    return _aligned(rows, left={0, len(SCORE_NAMES) + 1})


def side_by_side(clean: Mapping[str, Scores], corrupted: Mapping[str, Scores], label: str) -> str:
    """Scores of the pictures as they are and under the corruption ``label``, and what MaxF and AP lost.

    Args:
        clean: scores by benchmark, in percent but for the threshold.
        corrupted: the same benchmarks' under the corruption.
        label: the corrupted column's heading, such as ``shadow 3``.
    """
    rows = [["Benchmark", "", "clean", label, "loss"]]
    for name in clean:
        for score in SCORE_NAMES:
            values = clean[name][score], corrupted[name][score]
            loss = _percent(values[0] - values[1]) if score in LOSSES else ""
            first = name if score == SCORE_NAMES[0] else ""
            rows.append([first, score, *(_shown(score, value) for value in values), loss])
    return _aligned(rows, left={0, 1})


def class_table(report: Mapping[str, Any], corrupted_report: Mapping[str, Any] | None = None, label: str = "") -> str:
    """IoU of each class, their mean, the accuracy, and which classes no label holds.

    Args:
        report: as :func:`segkit.metrics.confusion.class_report` makes it.
        corrupted_report: the same of the same pictures under the corruption ``label``; adds its column and the loss.
        label: that column's heading.
    """
    rows = [["Class", "IoU"] if corrupted_report is None else ["Class", "IoU clean", label, "loss"]]
    clean = _class_scores(report)
    corrupted = None if corrupted_report is None else _class_scores(corrupted_report)
    for name, value in clean.items():
        values = [value] if corrupted is None else [value, corrupted[name], value - corrupted[name]]
        rows.append([name, *(_percent(100 * score) for score in values)])
    text = _aligned(rows, left={0})
    return text + (f"\nin no label: {', '.join(report['absent'])}" if report["absent"] else "")


def _class_scores(report: Mapping[str, Any]) -> dict[str, float]:
    return {**report["iou"], "mean IoU": report["mean_iou"], "accuracy": report["accuracy"]}


def _shown(name: str, value: float) -> str:
    if name != "threshold":
        return _percent(value)
    return NOTHING if math.isnan(value) else f"{value:.3f}"


def _percent(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:z.2f} %"


def _aligned(rows: Sequence[Sequence[str]], left: set[int]) -> str:
    """Columns two blanks apart, flush right but for those numbered in ``left``."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
