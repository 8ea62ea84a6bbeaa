"""Pixel counts of a run's validation, kept so that several runs can be scored as one.

Each run of a cross-validation has scored its own fifth of the pictures. The score of all pictures is not the mean of
the five: the counts have to be added up first, and then scored. They are few numbers, so a run keeps them beside its
scores, and no network has to look at a picture again.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Len
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from torch import Tensor
from torchmetrics import MetricCollection
from typing_extensions import TypedDict  # pydantic reads it where Python is older than 3.12

from segkit.errors import UserError
from segkit.metrics.confusion import ClassScores, class_scores
from segkit.road.metric import RoadViews, view_scores
from segkit.road.score import LEVELS
from segkit.runs.files import write_whole

Number = Annotated[int, Ge(0)]
Strict = with_config(ConfigDict(extra="forbid", strict=True))


@Strict
class ClassCounts(TypedDict):
    """``pixels``: a row per true class, a column per predicted one, in the order of ``names``; ``painted``: the names
    of those that the score ``iou`` is of."""

    names: Annotated[list[str], Len(1)]
    painted: list[str]
    pixels: list[list[Number]]


@Strict
class ViewCounts(TypedDict):
    """``pixels``: of not road, then of road, by their confidence 0…255."""

    pictures: Number
    pixels: Annotated[list[Annotated[list[Number], Len(LEVELS, LEVELS)]], Len(2, 2)]


@Strict
class RoadCounts(TypedDict):
    """Over all categories; ``bev`` is of the pictures that have a calibration."""

    target: Literal["road", "lane"]
    perspective: ViewCounts
    bev: ViewCounts


@Strict
class Counts(TypedDict, total=False):
    """What a validation has counted, of plain numbers, lists and dicts. ``road`` is there for KITTI road alone."""

    classes: ClassCounts
    road: RoadCounts


def counts_of(metrics: MetricCollection) -> Counts:
    """What the metrics have counted since their last reset, summed over the ranks, so every rank has to ask.

    Metrics other than segkit's own are left out, and so are subclasses of these, which may score in another way.
    """
    counts: Counts = {}
    for metric in metrics.values():
        if type(metric) is ClassScores:
            pixels = metric.total().tolist()
            counts["classes"] = {"names": metric.names, "painted": metric.painted, "pixels": pixels}
        elif type(metric) is RoadViews:
            views = {view: _view(*total) for view, total in metric.totals().items()}
            counts["road"] = {"target": metric.target, "perspective": views["perspective"], "bev": views["bev"]}
    return counts


def write_counts(path: Path, counts: Counts) -> None:
    """Write counts as JSON, in one step."""
    write_whole(path, (json.dumps(counts) + "\n").encode())


def read_counts(path: Path) -> Counts:
    """Counts that ``write_counts`` has written.

    Raises:
        UserError: the file cannot be read, or does not hold what it should.
    """
    try:
        counts = TypeAdapter(Counts).validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"{place}: {first['msg']}" if place else first["msg"]) from error
    if "classes" in counts:
        names, pixels = counts["classes"]["names"], counts["classes"]["pixels"]
        if {len(pixels), *map(len, pixels)} != {len(names)} or not set(counts["classes"]["painted"]) <= set(names):
            raise _damaged(path, "the pixels are not those of the classes")
    return counts


def pooled(counts: Sequence[Counts]) -> dict[str, float]:
    """The scores of all pictures of several validations, at least one, by the names that validation logs.

    ``road/bev/…`` are there if every picture of all was counted in that view.

    Raises:
        UserError: the validations are not of the same classes.
    """
    first, *others = map(_subject, counts)
    for other in others:
        for what, value in first.items():
            if other[what] != value:
                raise UserError(f"these runs cannot be scored as one: {what} {value} in one, {other[what]} in another")
    scores: dict[str, Tensor] = {}
    if "classes" in counts[0]:
        own = counts[0]["classes"]
        matrix = _sum([one["classes"]["pixels"] for one in counts])
        scores |= class_scores(matrix, own["names"], own["painted"])
    if "road" in counts[0]:
        roads = [one["road"] for one in counts]
        views = {"perspective": [road["perspective"] for road in roads], "bev": [road["bev"] for road in roads]}
        totals = {
            view: (_sum([one["pixels"] for one in parts]), sum(one["pictures"] for one in parts))
            for view, parts in views.items()
        }
        scores |= view_scores(roads[0]["target"], totals)
    return {name: float(value) for name, value in scores.items()}


def _view(pixels: Tensor, pictures: int) -> ViewCounts:
    return {"pictures": pictures, "pixels": pixels.tolist()}


def _sum(pixels: Sequence[list[list[int]]]) -> Tensor:
    return torch.tensor(pixels).sum(0)


def _subject(counts: Counts) -> dict[str, Any]:
    """What has to be alike, in words."""
    classes, road = counts.get("classes"), counts.get("road")
    return {
        "classes": ", ".join(classes["names"]) if classes else "none",
        "painted classes": ", ".join(classes["painted"] if classes else []) or "none",
        "road score of": road["target"] if road else "none",
    }


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is damaged ({why}); segkit evaluate checkpoint={path.parent} counts its pictures again")
