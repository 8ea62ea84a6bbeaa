"""Evaluations as an entry of the lab book: one table of one or many of them, side by side."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segkit.data.records import evenly
from segkit.evaluation.averaged import averaged
from segkit.evaluation.tables import class_rows, number

LONGEST = 40
"""Letters of a label that is part of a file's name."""

# What says where a network was trained, not how.
NOT_COMPARED = ("name=", "data.root=", "data.cache_dir=", "data.workers=", "trainer.gpus=", "predictions=", "hydra.")


@dataclass(frozen=True)
class Evaluation:
    """A finished folder of ``segkit evaluate``: its result, and the settings that it was started with."""

    folder: Path
    result: dict[str, Any]
    overrides: list[str]


def labels(evaluations: Sequence[Evaluation]) -> list[str]:
    """What tells the evaluated networks apart: the settings of their training that they do not all have.

    Saved maps, and networks that were trained alike, are told apart by where they lie; empty where all evaluations are
    of the same. What was averaged stands behind, and ``plain`` with the others where anything was.
    """
    names, means = _names(evaluations), [averaged(item.result) for item in evaluations]
    if not any(means):
        return names
    # Of saved maps nobody knows.
    plain = ["" if "predictions" in item.result else "plain" for item in evaluations]
    return [f"{name} {mean or other}".strip() for name, mean, other in zip(names, means, plain, strict=True)]


def _names(evaluations: Sequence[Evaluation]) -> list[str]:
    sources = [_place(item.result) for item in evaluations]
    words = [
        [word for own in item.result.get("training", []) for word in own if not word.startswith(NOT_COMPARED)]
        for item in evaluations
    ]
    trained = [set(own) for own, item in zip(words, evaluations, strict=True) if "training" in item.result]
    common = set.intersection(*trained) if trained else set()
    names = [
        " ".join(dict.fromkeys(word for word in own if word not in common)) if "training" in item.result else place
        for own, item, place in zip(words, evaluations, sources, strict=True)
    ]
    return sources if len(set(names)) < len(set(sources)) else names


def _place(result: dict[str, Any]) -> str:
    return str(result["predictions"]) if "predictions" in result else ", ".join(result.get("checkpoint", []))


def score_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """The class scores of one evaluation in percent, and those of the corrupted pictures beside them; empty of maps."""
    if "classes" not in result:
        return []
    rows = class_rows(result["classes"])
    if "corrupted" in result:
        worse = result["corrupted"]["classes"]
        scores = [*(worse["iou"].get(name) for name in result["classes"]["iou"]), worse["mean_iou"], worse["accuracy"]]
        cells = [f"IoU, {result['corrupted']['corruption']}", *map(number, scores)]
        rows = [[*row, cell] for row, cell in zip(rows, cells, strict=True)]
    if mean := averaged(result):
        rows[0][0] += f", {mean}"
    return rows


def commands(evaluations: Sequence[Evaluation]) -> list[str]:
    """The command lines of the networks' training and of the evaluations, each once.

    Evaluations that are all combinations of some settings' values are told as the sweep that they amount to.
    """
    lines = [
        f"python train.py {shlex.join(words)}"
        for evaluation in evaluations
        for words in evaluation.result.get("training", [])
        if words
    ]
    settings = [dict(word.split("=", 1) for word in evaluation.overrides) for evaluation in evaluations]
    values = {key: list(dict.fromkeys(own.get(key, "") for own in settings)) for key in settings[0]}
    alike = all(own.keys() == values.keys() for own in settings)
    distinct = len({str(own) for own in settings})
    if alike and 1 < distinct == len(evaluations) == math.prod(map(len, values.values())):
        words = [f"{key}={','.join(several)}" for key, several in values.items()]
        lines.append(f"segkit evaluate -m {shlex.join(words)}")
    else:
        lines += [f"segkit evaluate {shlex.join(evaluation.overrides)}" for evaluation in evaluations]
    return list(dict.fromkeys(lines))


def figures(evaluations: Sequence[Evaluation], count: int) -> dict[str, Path]:
    """``count`` figures, evenly over the networks, by the names that they get in the entry.

    Of each network those of its last evaluation: the curves, then the worst picture of each view; of class scores the
    confusion matrix, then the worst pictures, of several networks the worst one. Those of corrupted pictures come in
    the place of the clean ones.
    """
    last = dict(zip(labels(evaluations), evaluations, strict=True))
    found = {}
    for place, (label, evaluation) in enumerate(last.items(), start=1):
        label = label if len(label) <= LONGEST else f"network_{place}"
        folder = evaluation.folder / "figures"
        condition = evaluation.result.get("corrupted", {}).get("corruption", "clean").replace(" ", "_")
        worst = sorted(folder.glob(f"{condition}/*/worst_1_*.png"))
        of_classes = ("confusion", "worst_*" if len(last) == 1 else "worst_1_*")
        worst += [path for name in of_classes for path in sorted(folder.glob(f"{condition}/{name}.png"))]
        for path in [*sorted(folder.glob("precision_recall_*.png")), *worst]:
            parts = [label, *path.relative_to(folder).with_suffix("").parts]
            found[re.sub(r"[^\w.]+", "-", "_".join(part for part in parts if part))] = path
    return {name: found[name] for name in evenly(list(found), count)}
