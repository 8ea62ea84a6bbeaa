"""What was scored, as ``result.json`` has it and as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from segkit.data.records import SegmentationClass
from segkit.evaluation import VIEWS
from segkit.evaluation.tables import class_table, leaderboard, side_by_side
from segkit.metrics.confusion import class_report
from segkit.road.evaluation import Scored

HEADINGS = {"perspective": "In the picture", "bev": "Bird's-eye view"}


def describe(scored: Mapping[str, Scored], class_list: Sequence[SegmentationClass]) -> dict[str, Any]:
    """The scores of the clean pictures by view, and below ``corrupted`` those of the corrupted ones.

    ``classes``, where a network was scored, has IoU, accuracy and the confusion matrix of its most probable classes.
    """
    result: dict[str, Any] = {}
    for name, item in scored.items():
        scores: dict[str, Any] = {} if item.road is None else item.road.result()
        if item.classes is not None:
            scores["classes"] = class_report(item.classes.compute(), class_list)
        result |= scores if name == "clean" else {"corrupted": {"corruption": name} | scores}
    return result


def tables(result: Mapping[str, Any]) -> str:
    """``describe`` for people: the leaderboard's table in each view, clean and corrupted side by side."""
    corrupted = result.get("corrupted")
    texts = []
    for view in VIEWS:
        if view not in result:
            continue
        scores, missing = _divided(result[view])
        if corrupted is None:
            table = leaderboard(scores, missing)
        else:
            table = side_by_side(scores, _divided(corrupted[view])[0], corrupted["corruption"])
        texts.append(f"{HEADINGS[view]}\n{table}")
    if "classes" in result:
        other = (corrupted["classes"], corrupted["corruption"]) if corrupted else (None, "")
        texts.append(class_table(result["classes"], *other))
    return "\n\n".join(texts)


def _divided(view: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Scores and reasons of ``RoadEvaluation.result`` apart."""
    scores = {name: {key: v for key, v in row.items() if key != "reason"} for name, row in view.items()}
    return scores, {name: row["reason"] for name, row in view.items() if "reason" in row}
