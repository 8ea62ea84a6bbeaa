"""Class scores as text: aligned columns, for the screen and for logs."""

from collections.abc import Mapping
from typing import Any

from segkit.console import table
from segkit.metrics.confusion import percent


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
        rows.append([name, *(percent(100 * score) for score in values)])
    text = table(rows)
    return text + (f"\nin no label: {', '.join(report['absent'])}" if report["absent"] else "")


def _class_scores(report: Mapping[str, Any]) -> dict[str, float]:
    return {**report["iou"], "mean IoU": report["mean_iou"], "accuracy": report["accuracy"]}
