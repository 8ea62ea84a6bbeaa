"""Class scores as text: the rows of their table, and aligned columns for the screen and for logs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from segkit.console import table
from segkit.metrics.confusion import percent

NOTHING = "–"

LEFT_OUT = "left out"
"""What a prediction is called whose class cannot be compared with the data's: wrong, wherever the label's class can."""


SIDES = {
    "network": "not compared, wrong where the network says so",
    "data": "not compared, pixels that are not scored",
    "ignored": "left out by data.classes, pixels that are not scored",
    "background": "not named in data.classes, part of the background",
}
"""What it means that classes are left out, by the key that they have in ``result.json``."""


def left_out_lines(names: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each kind of classes that are left out."""
    return [f"{text}: {', '.join(names[side])}" for side, text in SIDES.items() if names.get(side)]


def class_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """A row per class that a label holds, in the order of the classes, then their mean, then the accuracy.

    Args:
        report: as :meth:`segkit.metrics.class_evaluation.ClassEvaluation.result` makes it, or read from a
            ``result.json``; scores are 0…1, and columns that it does not hold are left out.
    """
    interval, near = report.get("interval", {}), report.get("trimap_iou", {})
    ends, held = interval.get("iou", {}), report["iou"]
    title = f"IoU ({100 * interval['level']:g} %)" if interval else "IoU"
    columns = {
        title: [
            *(number_with_interval(iou, ends.get(name)) for name, iou in held.items()),
            number_with_interval(report["mean_iou"], interval.get("mean_iou")),
        ]
    }
    for key in ("recall", "precision"):
        if key in report:
            columns[key] = [*map(number, report[key].values()), number(report[f"mean_{key}"])]
    if near:
        columns["trimap IoU"] = [*(number(near["iou"].get(name)) for name in held), number(near["mean_iou"])]
    if "pixels" in report:
        columns["pixels"] = [*map(str, report["pixels"].values()), str(sum(report["pixels"].values()))]
    if "pictures" in report:
        columns["pictures"] = [*map(str, report["pictures"].values()), ""]
    body = [list(row) for row in zip([*held, "mean"], *columns.values(), strict=True)]
    accuracy = ["accuracy", number(report["accuracy"]), *[""] * (len(columns) - 1)]
    return [["class", *columns], *body, accuracy]


def number(share: float | None) -> str:
    """A share, 0…1, in percent without its sign; a dash for None and NaN, which ``result.json`` has as null."""
    return NOTHING if share is None or math.isnan(share) else f"{100 * share:z.2f}"


def number_with_interval(share: float | None, ends: list[float | None] | None) -> str:
    """As ``number``, with its interval: ``65.21 (62.1–67.9)``."""
    if ends is None or any(end is None or math.isnan(end) for end in ends):
        return number(share)
    low, high = (f"{100 * end:z.1f}" for end in ends if end is not None)
    return f"{number(share)} ({low}–{high})"


def class_table(report: Mapping[str, Any]) -> str:
    """The rows of ``class_rows`` aligned, what they are, and which classes no label holds.

    Args:
        report: as :meth:`segkit.metrics.class_evaluation.ClassEvaluation.result` makes it.
    """
    text = f"{table(class_rows(report))}{_absent(report)}"
    return f"{text}\nin percent; trimap IoU: at most {report['trimap_iou']['width']} px from a boundary between classes"


def loss_table(clean: Mapping[str, Any], corrupted: Mapping[str, Any], label: str) -> str:
    """IoU of each class, their mean and the accuracy, clean and corrupted, and what was lost.

    Args:
        clean: as for ``class_table``.
        corrupted: the same of the same pictures under the corruption.
        label: the corrupted column's heading, such as ``shadow 3``.
    """
    rows = [["Class", "IoU clean", label, "loss"]]
    worse = _scores(corrupted)
    for name, value in _scores(clean).items():
        rows.append([name, *(percent(100 * score) for score in (value, worse[name], value - worse[name]))])
    return table(rows) + _absent(clean)


def _scores(report: Mapping[str, Any]) -> dict[str, float]:
    return {**report["iou"], "mean IoU": report["mean_iou"], "accuracy": report["accuracy"]}


def _absent(report: Mapping[str, Any]) -> str:
    absent = [name for name in report["absent"] if name != LEFT_OUT]
    return f"\nin no label: {', '.join(absent)}" if absent else ""
