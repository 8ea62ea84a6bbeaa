"""Recipes of a comparison: runs that differ in their seed alone, told as mean ± standard deviation.

Runs of another split or another data set are scored on other pictures: their scores stand in columns of their own.
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from segkit.evaluation.entry import NOT_COMPARED
from segkit.reporting.columns import Column, known_score, score_text, seconds_text
from segkit.reporting.comparison import FOLD, SPLIT, Comparison, Row
from segkit.reporting.spread import Spread, spread, spread_text, words_apart
from segkit.reporting.swept import NOTHING, shown
from segkit.runs.monitor import mode

SEED = "seed"
HELD_OUT = "data.held_out"
PARTING = (SEED, SPLIT, HELD_OUT)
"""What runs of one recipe may differ in."""

ONLY_COMMON = "only what all have"
"""The name of the recipe that all others add something to."""

MANY_CLASSES = 3
"""So many make a table of their own."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """The runs of one recipe.

    Attributes:
        name: the settings, as they were typed, that not all recipes share.
        settings: the swept ones by dotted keys, but for seed, split and the drives that are held out.
        parts: its rows by what they were scored on; under an empty name where that is the same for all runs.
    """

    name: str
    settings: Mapping[str, Any]
    parts: Mapping[str, Sequence[Row]]

    def scores(self, split: str, name: str) -> list[float | None]:
        """A score of each finished run of a split, at its best epoch."""
        return [known_score(row, name) for row in self.parts.get(split, ()) if row.finished]

    def last(self, split: str, name: str) -> list[float | None]:
        """A score of each finished run of a split after its last epoch, which nothing has chosen."""
        single = [row.runs[0] for row in self.parts.get(split, ()) if row.finished and not row.pooled]
        return [run.epochs[-1].get(f"val/{name}") if run.epochs else None for run in single]


@dataclass(frozen=True)
class Recipes:
    """The recipes of a comparison, in the order in which their first runs were given.

    Attributes:
        comparison: what they are of.
        common: settings, as they were typed, that all of them have.
        recipes: empty where no recipe has two seeds.
        splits: the names of their parts.
    """

    comparison: Comparison
    common: Sequence[str]
    recipes: Sequence[Recipe]
    splits: Sequence[str]

    def columns(self) -> list[Column]:
        """A row per recipe: its name, seeds, scores of best and last epoch by split, mean over splits, seconds."""
        monitor = self.comparison.monitor
        text, large = partial(score_text, monitor), mode(monitor) == "max"
        found = [_column("recipe", [recipe.name for recipe in self.recipes], numeric=False)]
        found.append(_column("seeds", [_seeds(recipe) for recipe in self.recipes]))
        for split in self.splits:
            best = [recipe.scores(split, monitor) for recipe in self.recipes]
            last = [recipe.last(split, monitor) for recipe in self.recipes]
            for title, values in ((monitor, best), (f"{monitor} in the end", last)):
                title = f"{title}, {split}" if split else title
                cells = [spread_text(own, text) for own in values]
                found.append(_column(title, cells, [_mean(own) for own in values], largest_first=large))
        if len(self.splits) > 1:
            means = [self._over_splits(recipe) for recipe in self.recipes]
            cells = [NOTHING if value is None else text(value) for value in means]
            found.append(_column(f"{monitor}, mean over splits", cells, means, largest_first=large))
        seconds = [_seconds(recipe) for recipe in self.recipes]
        cells = [NOTHING if own is None else seconds_text(own.mean) for own in seconds]
        return [*found, _column("seconds of a run", cells, [None if own is None else own.mean for own in seconds])]

    def _over_splits(self, recipe: Recipe) -> float | None:
        """The mean of the splits' means, each weighing the same; None where one is missing."""
        means = [_mean(recipe.scores(split, self.comparison.monitor)) for split in self.splits]
        known = [value for value in means if value is not None]
        return sum(known) / len(known) if len(known) == len(means) else None

    def class_rows(self) -> list[list[str]]:
        """IoU of each class in percent, a line per recipe and split; empty for few classes."""
        names = [
            name
            for name in dict.fromkeys(name for row in self.comparison.rows for name in row.scores)
            if name.startswith("iou/")
        ]
        if len(names) < MANY_CLASSES:
            return []
        rows = [["recipe", *(["split"] if len(self.splits) > 1 else []), *(name[4:] for name in names)]]
        for recipe in self.recipes:
            for split in recipe.parts:
                cells = [spread_text(recipe.scores(split, name), lambda value: f"{100 * value:.1f}") for name in names]
                rows.append([recipe.name, *([split] if len(self.splits) > 1 else []), *cells])
        return rows

    def result(self) -> list[dict[str, Any]]:
        """As ``result.json`` has them: an entry for each recipe and split, with the spread of every score."""
        return [
            {
                "recipe": recipe.name,
                "settings": dict(recipe.settings),
                **({"split": split} if split else {}),
                "seeds": [row.values.get(SEED) for row in rows],
                "finished": sum(row.finished for row in rows),
                "scores": _spreads({name: recipe.scores(split, name) for row in rows for name in row.scores}),
                "last_epoch": _spreads({name: recipe.last(split, name) for row in rows for name in row.scores}),
                "seconds": _spreads({"fit": [row.seconds for row in rows if row.finished]}),
            }
            for recipe in self.recipes
            for split, rows in recipe.parts.items()
        ]


def recipes(comparison: Comparison) -> Recipes:
    """The runs of a comparison by their recipe.

    Runs of the same recipe, split and seed are in no recipe, which is said: nobody knows which one to take.
    """
    if SEED not in comparison.keys:
        return Recipes(comparison, (), (), ())
    order = {run.folder: place for place, run in enumerate(comparison.runs)}
    roots = {_root(row) for row in comparison.rows}
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in sorted(comparison.rows, key=lambda row: order[row.runs[0].folder]):
        others = {key: value for key, value in row.values.items() if key not in PARTING}
        split = _scored_on(row, roots)
        groups.setdefault(json.dumps(others), {}).setdefault(split, []).append(row)
    for parts in groups.values():
        for split, rows in list(parts.items()):
            if len({json.dumps(row.values.get(SEED)) for row in rows}) < len(rows):
                places = ", ".join(comparison.place(row) or comparison.label(row) for row in rows)
                log.warning("no seeds of one recipe, because several of these runs have the same: %s", places)
                del parts[split]
    found = [parts for parts in groups.values() if parts]
    if not any(len(rows) > 1 for parts in found for rows in parts.values()):
        return Recipes(comparison, (), (), ())
    dropped = (*NOT_COMPARED, "sweep.", *(f"{key}=" for key in (*PARTING, FOLD)))
    first = [next(iter(parts.values()))[0] for parts in found]
    words = [[word for word in row.runs[0].overrides() if not word.startswith(dropped)] for row in first]
    common, names = words_apart(words)
    settings = [{key: value for key, value in row.values.items() if key not in PARTING} for row in first]
    if len(set(names)) < len(names):  # what differs was typed in other ways, in a file for instance
        names = [" ".join(f"{comparison.short[key]}={shown(value)}" for key, value in own.items()) for own in settings]
    splits = list(dict.fromkeys(split for parts in found for split in parts))
    made = [Recipe(name or ONLY_COMMON, *own) for name, *own in zip(names, settings, found, strict=True)]
    return Recipes(comparison, common, made, splits)


def _scored_on(row: Row, roots: Collection[str]) -> str:
    """The pictures that a run was scored on, as far as not all runs have the same: ``drive 0016E5, scenes``."""
    split = shown(row.values[SPLIT]) if SPLIT in row.values else ""
    drives = row.values.get(HELD_OUT) if row.runs[0].settings["data"].get("split") != "official" else None
    words = [" ".join([*filter(None, [split]), *(drives or ())]), _root(row) if len(roots) > 1 else ""]
    return ", ".join(filter(None, words))


def _root(row: Row) -> str:
    """The name of the data set's folder: its place may be another one on each machine."""
    return Path(row.runs[0].settings["data"].get("root", "")).name


def _column(
    title: str,
    cells: Sequence[str],
    order: Sequence[float | None] | None = None,
    numeric: bool = True,
    largest_first: bool = False,
) -> Column:
    places = order if order is not None else range(len(cells))
    return Column(title, tuple(cells), tuple(places), numeric, largest_first)


def _mean(values: Sequence[float | None]) -> float | None:
    found = spread(values)
    return None if found is None else found.mean


def _seconds(recipe: Recipe) -> Spread | None:
    return spread(row.seconds for rows in recipe.parts.values() for row in rows if row.finished)


def _seeds(recipe: Recipe) -> str:
    """How many seeds, of each split where they are not as many: ``3``, ``2 of 3`` finished, ``3, 2``."""
    counts = []
    for rows in recipe.parts.values():
        done = sum(row.finished for row in rows)
        counts.append(str(done) if done == len(rows) else f"{done} of {len(rows)}")
    return counts[0] if len(set(counts)) == 1 else ", ".join(counts)


def _spreads(values: Mapping[str, Sequence[float | None]]) -> dict[str, Any]:
    found = {name: spread(own) for name, own in values.items()}
    return {name: own.result() for name, own in found.items() if own is not None}
