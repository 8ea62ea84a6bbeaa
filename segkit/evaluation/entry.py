"""Evaluations as an entry of the lab book: one table of one or many of them, side by side."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segkit.evaluation import VIEWS

FIGURES = ("MaxF", "AP", "PRE", "REC", "FPR", "FNR")

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

    Saved maps are told apart by their folders; empty where all evaluations are of the same.
    """
    words = []
    for evaluation in evaluations:
        training = [word for word in evaluation.result.get("training", []) if not word.startswith(NOT_COMPARED)]
        words.append(training or [f"predictions={evaluation.result.get('predictions')}"])
    common = set(words[0]).intersection(*words)
    return [" ".join(word for word in own if word not in common) for own in words]


def score_rows(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    """The table's rows, its head first: every benchmark of a single evaluation, the total of several.

    Scores of the clean pictures, which do not change with the severity, stand there once for each network.
    """
    names = labels(evaluations)
    rows = [["network", "view", "benchmark", "pictures", *FIGURES, "MaxF lost"]]
    seen = set()
    for name, evaluation in zip(names, evaluations, strict=True):
        result = evaluation.result
        corrupted = result.get("corrupted", {})
        for view in (view for view in VIEWS if view in result):
            benchmarks = list(result[view])
            for benchmark in benchmarks if len(evaluations) == 1 else benchmarks[-1:]:
                clean = result[view][benchmark]
                row = [name, view, benchmark, "clean", *(number(clean[figure]) for figure in FIGURES), ""]
                if tuple(row) not in seen:
                    rows.append(row)
                seen.add(tuple(row))
                if corrupted:
                    worse = corrupted[view][benchmark]
                    known = None not in (clean["MaxF"], worse["MaxF"])
                    lost = number(clean["MaxF"] - worse["MaxF"] if known else None)
                    shown = [number(worse[figure]) for figure in FIGURES]
                    rows.append([name, view, benchmark, corrupted["corruption"], *shown, lost])
    used = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    return [[row[i] for i in used] for row in rows]


def class_rows(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    """IoU in percent of each class of a single evaluation that has no road score; empty otherwise."""
    result = evaluations[0].result
    if len(evaluations) > 1 or any(view in result for view in VIEWS) or "classes" not in result:
        return []
    conditions = {"clean": result["classes"]}
    if "corrupted" in result:
        conditions[result["corrupted"]["corruption"]] = result["corrupted"]["classes"]
    rows = [["class", *conditions]]
    for name in result["classes"]["iou"]:
        rows.append([name, *(number(100 * report["iou"][name]) for report in conditions.values())])
    for name in ("mean_iou", "accuracy"):
        rows.append([name, *(number(100 * report[name]) for report in conditions.values())])
    return rows


def commands(evaluations: Sequence[Evaluation]) -> list[str]:
    """The command lines of the networks' training and of the evaluations, each once."""
    lines = []
    for evaluation in evaluations:
        if "training" in evaluation.result:
            lines.append(f"python train.py {shlex.join(evaluation.result['training'])}")
    lines += [f"segkit evaluate {shlex.join(evaluation.overrides)}" for evaluation in evaluations]
    return list(dict.fromkeys(lines))


def figures(evaluations: Sequence[Evaluation], count: int) -> dict[str, Path]:
    """``count`` figures, evenly over the networks, by the names that they get in the entry.

    Of each network those of its last evaluation: the curves, then the worst picture of each view.
    """
    last = dict(zip(labels(evaluations), evaluations, strict=True))
    found = {}
    for label, evaluation in last.items():
        folder = evaluation.folder / "figures"
        for path in [*sorted(folder.glob("precision_recall_*.png")), *sorted(folder.glob("*/*/worst_1_*.png"))]:
            parts = [label, *path.relative_to(folder).with_suffix("").parts]
            found[re.sub(r"[^\w.]+", "-", "_".join(part for part in parts if part))] = path
    chosen = [list(found)[i * len(found) // count] for i in range(min(count, len(found)))] if count else []
    return {name: found[name] for name in chosen}


def number(value: float | None) -> str:
    """A percentage with two decimals, or a dash where there is no figure."""
    return "–" if value is None else f"{value:.2f}"
