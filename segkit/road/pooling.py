"""The road score of several validations as one."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from annotated_types import Len
from torch import Tensor
from typing_extensions import TypedDict  # pydantic reads it where Python is older than 3.12

from segkit.metrics.cross_validation import POOLERS, Number, Strict
from segkit.road.metric import RoadViews, view_scores
from segkit.road.score import LEVELS


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


class RoadPooler:
    """Of :class:`segkit.road.metric.RoadViews`; ``…/bev/…`` are there if every picture of all was counted there."""

    counts = RoadCounts

    def problem(self, counts: RoadCounts) -> str | None:
        return None

    def subject(self, counts: RoadCounts | None) -> dict[str, str]:
        return {"road score of": counts["target"] if counts else "none"}

    def scores(self, counts: Sequence[RoadCounts]) -> dict[str, Tensor]:
        def total(views: list[Any]) -> tuple[Tensor, int]:
            return torch.tensor([one["pixels"] for one in views]).sum(0), sum(one["pictures"] for one in views)

        totals = {
            "perspective": total([one["perspective"] for one in counts]),
            "bev": total([one["bev"] for one in counts]),
        }
        return view_scores(counts[0]["target"], totals)


ROAD_POOLERS = {**POOLERS, RoadViews.counts_name: RoadPooler()}
"""Of the class scores and of KITTI road's."""
