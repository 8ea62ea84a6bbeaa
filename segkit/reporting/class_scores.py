"""Class scores of several evaluations side by side; networks that differ in their seed alone are one row."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from segkit.evaluation.entry import NOT_COMPARED, Evaluation
from segkit.evaluation.tables import number, number_with_interval
from segkit.reporting.markdown import table
from segkit.reporting.recipes import ONLY_COMMON
from segkit.reporting.spread import spread, spread_text, words_apart

SEED = "seed="

# What says which pictures were scored by which network, or where and how fast; what has a column of its own.
NOT_SCORING = (*NOT_COMPARED, "checkpoint=", "gpus=", "trust=", "part=", "average=")

OVERALL = {
    "mean_iou": "mean IoU",
    "trimap_iou": "trimap IoU",
    "mean_recall": "mean recall",
    "accuracy": "accuracy",
    "corrupted/mean_iou": "mean IoU, corrupted",
}
"""Scores of all classes together, and the heads of their columns."""

EXPLAINED = (
    "In percent. ± is the sample standard deviation over the seeds of a recipe; in brackets stands the 95 % bootstrap "
    "interval over the pictures of a single network. Trimap IoU is that near the boundaries between classes."
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Evaluations of networks of one recipe, each of another seed, on the same pictures in the same way.

    Attributes:
        name: settings of the training, as they were typed, that not all recipes share.
        scored: those of the evaluation, but for network, part and averaging.
        evaluations: one for each seed.
    """

    name: str
    scored: str
    evaluations: Sequence[Evaluation]

    @property
    def first(self) -> Mapping[str, Any]:
        """The result of the first evaluation, which tells part, pictures and averaging of all."""
        return self.evaluations[0].result

    @cached_property
    def scores(self) -> list[dict[str, float | None]]:
        """The scores of each evaluation, 0…1: those of ``OVERALL``, and ``iou/<class>``."""
        return [_scores(item.result) for item in self.evaluations]

    def values(self, name: str) -> list[float | None]:
        """A score of each evaluation; None where it does not exist."""
        return [own.get(name) for own in self.scores]

    def text(self, name: str) -> str:
        """A score in percent, as mean ± deviation, or with its interval where there is a single network."""
        if len(self.evaluations) > 1:
            return spread_text(self.values(name), number)
        interval = self.first["classes"].get("interval", {})
        ends = interval.get("iou", {}).get(name[4:]) if name.startswith("iou/") else interval.get(name)
        return number_with_interval(self.values(name)[0], ends)

    def result(self) -> dict[str, Any]:
        """As ``result.json`` has it: the spread of each score over the seeds."""
        found = {name: spread(self.values(name)) for name in self.scores[0]}
        return {
            "recipe": self.name,
            "scored": self.scored,
            "part": self.first["part"],
            "pictures": self.first["pictures"],
            "average": self.first.get("average") or [],
            "evaluations": [str(item.folder) for item in self.evaluations],
            "scores": {name: own.result() for name, own in found.items() if own is not None},
        }


def _scores(result: Mapping[str, Any]) -> dict[str, float | None]:
    classes, corrupted = result["classes"], result.get("corrupted", {}).get("classes", {})
    scores = {name: classes.get(name) for name in OVERALL}
    scores |= {
        "trimap_iou": classes.get("trimap_iou", {}).get("mean_iou"),
        "corrupted/mean_iou": corrupted.get("mean_iou"),
    }
    return scores | {f"iou/{name}": iou for name, iou in classes["iou"].items()}


def recipes(evaluations: Sequence[Evaluation]) -> list[Recipe]:
    """Evaluations by the recipe of their networks, in the order in which their first ones were given.

    Those of one recipe agree in the settings that their networks were trained with, but for the seed; in the
    checkpoint's name (``best.ckpt``); in the part, its pictures, and how many pixels of each class these have, so that
    no two data sets are taken for one; in what was typed for the evaluation; and in the test-time averaging.
    Where two of them have the same seed they are left single, which is said.
    """
    groups: dict[str, list[Evaluation]] = {}
    for item in evaluations:
        groups.setdefault(json.dumps(_identity(item)), []).append(item)
    found = []
    for members in groups.values():
        seeds = {json.dumps(_seeds(item)) for item in members}
        if len(seeds) == len(members):
            found.append(members)
            continue
        places = ", ".join(str(item.folder) for item in members)
        log.warning("no seeds of one recipe, because several of these evaluations have the same: %s", places)
        found += [[item] for item in members]
    _, names = words_apart([word for own in _recipe(items[0]) for word in own] for items in found)
    _, scored = words_apart(_scoring(items[0]) for items in found)
    titles = [
        (name or ONLY_COMMON, how, pictures_text(items[0].result), _average(items[0].result))
        for name, how, items in zip(names, scored, found, strict=True)
    ]
    made = []
    for title, items in zip(titles, found, strict=True):
        # Networks that were trained alike, or nobody knows how, are told apart by where they lie.
        place = [*items[0].result["checkpoint"]] if titles.count(title) > 1 else []
        made.append(Recipe(" ".join([title[0], *place]), title[1], items))
    return made


def _identity(item: Evaluation) -> list[Any]:
    result = item.result
    return [
        [sorted(own) for own in _recipe(item)],
        sorted({Path(checkpoint).name for checkpoint in result["checkpoint"]}),
        result["part"],
        sorted(result["pictures"].items()),
        sorted(result["classes"].get("pixels", {}).items()),
        sorted(_scoring(item)),
        result.get("average") or [],
    ]


def _recipe(item: Evaluation) -> list[list[str]]:
    """How each network was trained, but for its seed."""
    return _typed(item, lambda word: not word.startswith((*NOT_COMPARED, SEED)))


def _seeds(item: Evaluation) -> list[str]:
    """The seed of each network; one that was not typed is 0."""
    return [(["seed=0", *own])[-1] for own in _typed(item, lambda word: word.startswith(SEED))]


def _typed(item: Evaluation, wanted: Callable[[str], bool]) -> list[list[str]]:
    return [[word for word in own if wanted(word)] for own in item.result.get("training", [])]


def _scoring(item: Evaluation) -> list[str]:
    return [word for word in item.overrides if not word.startswith(NOT_SCORING)]


def pictures_text(result: Mapping[str, Any]) -> str:
    """Part and numbers of pictures: ``val, um 8, umm 8``."""
    return ", ".join([result["part"], *(f"{group} {count}" for group, count in result["pictures"].items())])


def _average(result: Mapping[str, Any]) -> str:
    """What was averaged over at test time."""
    return ", ".join(map(str, result.get("average") or []))


def side_by_side(found: Sequence[Recipe]) -> list[str]:
    """Lines of Markdown, a row per recipe: a table of the overall scores, and one of the IoU of each class."""
    told = {
        "recipe": [recipe.name for recipe in found],
        "scored with": [recipe.scored for recipe in found],
        "pictures": [pictures_text(recipe.first) for recipe in found],
        "average": [_average(recipe.first) for recipe in found],
    }
    # Averaged scores are never without their label; what else is alike in all rows stands above.
    told = {
        head: cells
        for head, cells in told.items()
        if head == "recipe" or len(set(cells)) > 1 or (head == "average" and any(cells))
    }
    scores = [name for name in OVERALL if any(value is not None for recipe in found for value in recipe.values(name))]
    classes = list(dict.fromkeys(name for recipe in found for name in recipe.scores[0] if name.startswith("iou/")))
    overall = [[*told, "seeds", *(OVERALL[name] for name in scores)]]
    by_class = [[*told, *(name[4:] for name in classes)]]
    for own, recipe in zip(zip(*told.values(), strict=True), found, strict=True):
        overall.append([*own, str(len(recipe.evaluations)), *map(recipe.text, scores)])
        by_class.append([*own, *map(recipe.text, classes)])
    return [EXPLAINED, "", table(overall), "", "IoU of each class:", "", table(by_class), ""]
