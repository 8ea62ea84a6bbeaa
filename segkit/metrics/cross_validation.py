"""Pixel counts of a run's validation, kept so that several runs can be scored as one.

Each run of a cross-validation has scored its own fifth of the pictures. The score of all pictures is not the mean of
the five: the counts have to be added up first, and then scored. They are few numbers, so a run keeps them beside its
scores, and no network has to look at a picture again.

A metric takes part by saying under which name (``counts_name``, of the class itself: a subclass may score in another
way) and by giving its ``counts()``, plain numbers, lists and dicts; a :class:`Pooler` makes scores of several of them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from annotated_types import Ge, Len
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from torch import Tensor
from torchmetrics import MetricCollection
from typing_extensions import TypedDict  # pydantic reads it where Python is older than 3.12

from segkit.errors import UserError
from segkit.metrics.confusion import ClassScores, class_scores
from segkit.runs.files import write_whole
from segkit.runs.stamp import stamped, unstamped

Counts = dict[str, Any]
"""What a validation has counted, by the metrics' ``counts_name``."""

Number = Annotated[int, Ge(0)]
Strict = with_config(ConfigDict(extra="forbid", strict=True))


class Pooler(Protocol):
    """How the counts of one metric, of several validations, are scored as one."""

    counts: Any
    """The type that pydantic holds them against."""

    def problem(self, counts: Any) -> str | None:
        """What is wrong with counts of the right type."""

    def subject(self, counts: Any | None) -> dict[str, str]:
        """What has to be alike in all of them, in words; None: a validation without them."""

    def scores(self, counts: Sequence[Any]) -> dict[str, Tensor]:
        """The scores of all pictures, by the names that validation logs."""


@Strict
class ClassCounts(TypedDict):
    """``pixels``: a row per true class, a column per predicted one, in the order of ``names``; ``foreground``: the
    names of those that the score ``iou`` is of."""

    names: Annotated[list[str], Len(1)]
    foreground: list[str]
    pixels: list[list[Number]]


class ClassPooler:
    """Of :class:`segkit.metrics.confusion.ClassScores`."""

    counts = ClassCounts

    def problem(self, counts: ClassCounts) -> str | None:
        names, pixels = counts["names"], counts["pixels"]
        fits = {len(pixels), *map(len, pixels)} == {len(names)} and set(counts["foreground"]) <= set(names)
        return None if fits else "the pixels are not those of the classes"

    def subject(self, counts: ClassCounts | None) -> dict[str, str]:
        names, own = (counts["names"], counts["foreground"]) if counts else ([], [])
        return {"classes": ", ".join(names) or "none", "scored classes": ", ".join(own) or "none"}

    def scores(self, counts: Sequence[ClassCounts]) -> dict[str, Tensor]:
        matrix = torch.tensor([one["pixels"] for one in counts]).sum(0)
        return class_scores(matrix, counts[0]["names"], counts[0]["foreground"])


POOLERS: Mapping[str, Pooler] = {ClassScores.counts_name: ClassPooler()}


def counts_of(metrics: MetricCollection) -> Counts:
    """What the metrics have counted since their last reset, summed over the ranks, so every rank has to ask."""
    return {
        name: metric.counts()  # type: ignore[operator]
        for metric in metrics.values()
        if (name := vars(type(metric)).get("counts_name")) is not None
    }


def write_counts(path: Path, counts: Counts) -> None:
    """Write counts as JSON, in one step."""
    write_whole(path, (json.dumps(stamped(counts)) + "\n").encode())


def read_counts(path: Path, poolers: Mapping[str, Pooler] = POOLERS) -> Counts:
    """Counts that ``write_counts`` has written; those that none of ``poolers`` knows are left out.

    Raises:
        UserError: the file cannot be read, does not hold what it should, or is of a later version.
    """
    try:
        held = unstamped(TypeAdapter(dict[str, Any]).validate_json(path.read_bytes()), path)
        classes = held.get("classes")
        if isinstance(classes, dict) and "painted" in classes:  # its name until version 1
            classes["foreground"] = classes.pop("painted")
        counts = {
            name: TypeAdapter(poolers[name].counts).validate_python(held[name]) for name in held if name in poolers
        }
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"{place}: {first['msg']}" if place else first["msg"]) from error
    for name, own in counts.items():
        if (problem := poolers[name].problem(own)) is not None:
            raise _damaged(path, problem)
    return counts


def pooled(counts: Sequence[Counts], poolers: Mapping[str, Pooler] = POOLERS) -> dict[str, float]:
    """The scores of all pictures of several validations, at least one, by the names that validation logs.

    Raises:
        UserError: the validations are not of the same classes.
    """
    scores: dict[str, Tensor] = {}
    for name, pooler in poolers.items():
        first, *others = [pooler.subject(one.get(name)) for one in counts]
        for other in others:
            for what, value in first.items():
                if other[what] != value:
                    message = f"{what} {value} in one, {other[what]} in another"
                    raise UserError(f"these runs cannot be scored as one: {message}")
        if name in counts[0]:
            scores |= pooler.scores([one[name] for one in counts])
    return {name: float(value) for name, value in scores.items()}


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is damaged ({why}); segkit evaluate checkpoint={path.parent} counts its pictures again")
