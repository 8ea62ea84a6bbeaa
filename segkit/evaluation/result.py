"""What was scored: as ``result.json`` has it, as tables, and picture by picture."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from segkit.evaluation.averaged import averaged
from segkit.evaluation.tables import class_table, left_out_lines, loss_table
from segkit.metrics.benchmark import Benchmark, Scored


def describe(scored: Mapping[str, Scored]) -> dict[str, Any]:
    """The scores of the clean pictures, and below ``corrupted`` those of the corrupted ones.

    Beside those of the data set's own benchmark stand, where a network was scored, the ``classes``: the scores of its
    most probable classes, see :meth:`segkit.metrics.class_evaluation.ClassEvaluation.result`.
    """
    result: dict[str, Any] = {}
    for name, item in scored.items():
        scores: dict[str, Any] = {} if item.own is None else item.own.result()
        if item.classes is not None:
            scores["classes"] = item.classes.result()
        result |= scores if name == "clean" else {"corrupted": {"corruption": name} | scores}
    return result


def tables(result: Mapping[str, Any], benchmark: Benchmark | None) -> str:
    """``result.json`` for people, clean and corrupted side by side; over each table stands what was averaged."""
    texts = [] if benchmark is None else benchmark.tables(result)
    if "classes" in result:
        corrupted = result.get("corrupted")
        if corrupted is None:
            texts.append(class_table(result["classes"]))
        else:
            texts.append(loss_table(result["classes"], corrupted["classes"], corrupted["corruption"]))
        texts[-1] += "".join(f"\n{line}" for line in left_out_lines(result.get("left_out", {})))
    label = averaged(result)
    return "\n\n".join(f"{label}:\n{text}" if label else text for text in texts)


def pictures_csv(scored: Mapping[str, Scored]) -> str:
    """The class scores of each picture, 0…1, a line for each under each condition; empty where no classes are known."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["picture", "group", "condition", "mean_iou", "accuracy"])
    known = {condition: item.classes for condition, item in scored.items() if item.classes is not None}
    for condition, classes in known.items():
        for one in classes.pictures():
            # An empty cell where nothing is scored.
            scores = ["" if value != value else f"{value:.6f}" for value in (one.mean_iou, one.accuracy)]
            lines.writerow([one.name, one.group, condition, *scores])
    return text.getvalue() if known else ""
