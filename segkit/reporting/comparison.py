"""Runs side by side: a row for each, or for the folds of one division together, the best one first."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from segkit.data.splits import FOLDS
from segkit.reporting.swept import shown, swept_values
from segkit.runs.identity import short_names
from segkit.runs.monitor import mode
from segkit.runs.read import Run

COUNTS = "counts.json"
FOLD, SPLIT = "data.fold", "data.split"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        runs: the run, or the folds that were pooled.
        values: what was swept, by dotted keys; keys that the run has not are left out.
        scores: by their names in ``result.json``; None where one does not exist.
        status: what became of it, for people.
        finished: whether its scores are final.
    """

    runs: tuple[Run, ...]
    values: dict[str, Any]
    scores: Mapping[str, float | None]
    status: str
    finished: bool

    @property
    def pooled(self) -> bool:
        return len(self.runs) > 1

    @property
    def best_epoch(self) -> int | None:
        """None for several folds, each of which has its own."""
        return None if self.pooled else self.runs[0].best_epoch

    @property
    def seconds(self) -> float | None:
        """Seconds of training, of all folds together; None where no run has said."""
        known = [run.result["seconds"]["fit"] for run in self.runs if "fit" in run.result.get("seconds", {})]
        return sum(known) if known else None


@dataclass(frozen=True)
class Comparison:
    """Runs ranked by one score.

    Attributes:
        runs: all of them, in the order given.
        keys: the dotted keys of what was swept.
        monitor: the score that ranks them, as in ``result.json``.
        rows: the table, best first; rows without the score come last.
        folds: the single folds behind the pooled rows, best first.
        base: the folder that the runs' folders are named from.
    """

    runs: tuple[Run, ...]
    keys: tuple[str, ...]
    monitor: str
    rows: tuple[Row, ...]
    folds: tuple[Row, ...]
    base: Path

    @cached_property
    def short(self) -> dict[str, str]:
        """What the swept settings are called where there is little room; a class that was given, as its group."""
        groups = {key: key.removesuffix("._target_") for key in self.keys}
        names = short_names(list(groups.values()))
        return {key: names[group] for key, group in groups.items()}

    @cached_property
    def singles(self) -> tuple[Row, ...]:
        """A row for each run, best first."""
        single = (row for row in (*self.rows, *self.folds) if not row.pooled)
        return tuple(sorted(single, key=lambda row: rank_key(row, self.monitor)))

    def score(self, row: Row) -> float | None:
        """The score that ranks a row; None where it does not exist."""
        return known_score(row, self.monitor)

    def label(self, row: Row) -> str:
        """What tells a row apart from the others: its swept settings, or its folder where there are none."""
        values = {key: shown(row.values[key]) for key in self.keys if key in row.values}
        pooled = values.pop(FOLD) if row.pooled else ""
        words = [f"{self.short[key]}={value}" for key, value in values.items()]
        return " ".join(filter(None, [*words, pooled])) or self.place(row)

    def place(self, row: Row) -> str:
        """The folder of a row's run, seen from ``base``; nothing for pooled folds, which have none of their own."""
        return "" if row.pooled else row.runs[0].folder.relative_to(self.base).as_posix()

    def best_and_worst(self) -> list[Row]:
        """The finished single runs with the best and the worst score, as far as there are two."""
        finished = [row for row in self.singles if row.finished and self.score(row) is not None]
        return finished if len(finished) < 2 else [finished[0], finished[-1]]


def compare(runs: Sequence[Run], base: Path) -> Comparison:
    """Rank ``runs`` by the first one's ``trainer.monitor``; without validation by the mean loss of the last epoch.

    Runs that differ in ``data.fold`` alone are pooled: the scores of such a row are computed from the pixel counts of
    all folds that have finished, as if one network had been scored on all pictures.

    Raises:
        UserError: folds do not fit together, or their counts are damaged.
    """
    runs = tuple(runs)
    monitor = runs[0].monitor.removeprefix("val/")
    if not any(monitor in run.scores for run in runs) and any("mean_loss" in run.scores for run in runs):
        monitor = "mean_loss"
    values = swept_values(runs)
    single = [
        Row((run,), own, run.scores, run.progress, run.status == "finished")
        for run, own in zip(runs, values, strict=True)
    ]
    pooled, folds, others = [], [], []
    for division in _divisions(single):
        row = _pooled_row(division)
        if row is None:
            others += division
        else:
            pooled.append(row)
            folds += division
    rows, members = (tuple(sorted(part, key=lambda row: rank_key(row, monitor))) for part in (pooled + others, folds))
    longest = max(values, key=len)  # has all keys in the order of the config, but for odd ones
    keys = tuple(dict.fromkeys([*longest, *(key for own in values for key in own)]))
    return Comparison(runs, keys, monitor, rows, members, base)


def rank_key(row: Row, monitor: str) -> tuple[bool, float]:
    """Brings rows into order: best first, those without the score last."""
    score = known_score(row, monitor)
    if score is None:
        return True, 0.0
    return False, score if mode(monitor) == "min" else -score


def known_score(row: Row, name: str) -> float | None:
    """A row's score; None where it does not exist, or is no finite number."""
    score = row.scores.get(name)
    return score if score is not None and math.isfinite(score) else None


def _divisions(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows in groups that differ in their fold alone; a row that is no fold is a group of its own."""
    groups: dict[str, list[Row]] = {}
    for number, row in enumerate(rows):
        is_fold = row.runs[0].settings["data"].get("split") == "fold" and FOLD in row.values
        others = {key: value for key, value in row.values.items() if key != FOLD}
        groups.setdefault(json.dumps(others) if is_fold else str(number), []).append(row)
    return list(groups.values())


def _pooled_row(division: Sequence[Row]) -> Row | None:
    """The folds of one division as one row; None where there are no two, or none that has left its counts."""
    by_fold = {row.values.get(FOLD): row for row in division}
    if len(by_fold) < 2:
        return None
    if len(by_fold) < len(division):
        names = ", ".join(row.runs[0].folder.name for row in division)
        log.warning("not pooled, because several of these runs hold out the same fold: %s", names)
        return None
    counted = {fold: by_fold[fold] for fold in sorted(by_fold, key=str) if _has_counts(by_fold[fold])}
    if not counted:
        return None
    from segkit.metrics.cross_validation import pooled, read_counts  # imports torch, for folds only
    from segkit.road.pooling import ROAD_POOLERS

    counts = [read_counts(row.runs[0].folder / COUNTS, ROAD_POOLERS) for row in counted.values()]
    pixels = [sum(map(sum, one["classes"]["pixels"])) if "classes" in one else 0 for one in counts]
    losses = [row.scores.get("loss") for row in counted.values()]
    scores = pooled(counts, ROAD_POOLERS) | _mean_loss(losses, pixels)
    whole = len(counted) == FOLDS
    numbers = f"0…{FOLDS - 1}" if whole else ", ".join(map(str, counted))
    values = division[0].values | {FOLD: f"pooled over folds {numbers}"}
    return Row(
        tuple(row.runs[0] for row in division),
        values,
        scores,
        "finished" if whole else f"{len(counted)} of {FOLDS} folds",
        whole,
    )


def _mean_loss(losses: Sequence[float | None], pixels: Sequence[int]) -> dict[str, float]:
    """The validation loss of all folds: each is a mean over its scored pixels, so these are its weight."""
    if not all(pixels):
        return {}
    known = [loss * count for loss, count in zip(losses, pixels, strict=True) if loss is not None]
    return {"loss": sum(known) / sum(pixels)} if len(known) == len(pixels) else {}


def _has_counts(row: Row) -> bool:
    return row.finished and (row.runs[0].folder / COUNTS).exists()
