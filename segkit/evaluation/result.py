"""What was scored, as ``result.json`` has it and as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from segkit.data.records import SegmentationClass
from segkit.evaluation.averaged import averaged
from segkit.evaluation.tables import class_table
from segkit.metrics.benchmark import Benchmark, Scored
from segkit.metrics.confusion import class_report


def describe(scored: Mapping[str, Scored], class_list: Sequence[SegmentationClass]) -> dict[str, Any]:
    """The scores of the clean pictures, and below ``corrupted`` those of the corrupted ones.

    Beside those of the data set's own benchmark stand, where a network was scored, the ``classes``: IoU, accuracy and
    the confusion matrix of its most probable classes.
    """
    result: dict[str, Any] = {}
    for name, item in scored.items():
        scores: dict[str, Any] = {} if item.own is None else item.own.result()
        if item.classes is not None:
            scores["classes"] = class_report(item.classes.compute(), class_list)
        result |= scores if name == "clean" else {"corrupted": {"corruption": name} | scores}
    return result


def tables(result: Mapping[str, Any], benchmark: Benchmark | None) -> str:
    """``result.json`` for people, clean and corrupted side by side; over each table stands what was averaged."""
    texts = [] if benchmark is None else benchmark.tables(result)
    if "classes" in result:
        corrupted = result.get("corrupted")
        other = (corrupted["classes"], corrupted["corruption"]) if corrupted else (None, "")
        texts.append(class_table(result["classes"], *other))
    label = averaged(result)
    return "\n\n".join(f"{label}:\n{text}" if label else text for text in texts)
