"""The KITTI road score during training: in the picture, and in bird's-eye view where calibration is there."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics.wrappers.abstract import WrapperMetric

from segkit.road import BirdsEyeView, Calibration
from segkit.road.score import IGNORED_PAIR, LEVELS, PAIRS, RoadScore, count_pairs, pairs, road_scores

TOGETHER = 32
"""Views of pictures that are counted together, because each count waits for the GPU to have done all before it."""


class RoadViews(WrapperMetric):
    """The road score in the picture (perspective) and in bird's-eye view (bev), over all categories together.

    The two scores hold the state and sum it over the ranks, so every rank has to compute.
    """

    counts_name = "road"

    def __init__(self, target: Literal["road", "lane"]) -> None:
        super().__init__()
        self.target = target
        self.perspective, self.bev = RoadScore(target), RoadScore(target)
        self.birds_eye_view = BirdsEyeView()
        self._waiting: list[tuple[int, int, Tensor]] = []

    def update(self, confidence: Tensor, label: Tensor, group: str, calibration: Calibration | None) -> None:
        """Count a picture at its own size.

        Args:
            confidence: uint8 (H, W), ``round(255 · probability of road)``.
            label: uint8 (H, W): 0 not road, 1 road, 255 not scored.
            group: the picture's category: um, umm or uu.
            calibration: the picture's; without one it is not counted in bird's-eye view.

        Raises:
            ValueError: as :meth:`RoadScore.update`.
        """
        category = self.perspective.index(group)
        pixels = pairs(confidence, label)
        self._waiting.append((0, category, pixels))
        if calibration is not None:
            above = self.birds_eye_view.warp(pixels, calibration, fill=IGNORED_PAIR)
            self._waiting.append((1, category, above))
        if len(self._waiting) >= TOGETHER:
            self._count()

    def _count(self) -> None:
        """Count what waits."""
        categories = self.perspective.categories
        if not self._waiting:
            return
        flat = [pixels.flatten() + (view * len(categories) + c) * PAIRS for view, c, pixels in self._waiting]
        counts = count_pairs(flat, 2 * len(categories)).view(2, len(categories), 2, LEVELS)
        pictures = Counter((view, c) for view, c, _ in self._waiting)
        for (view, c), number in pictures.items():
            (self.perspective, self.bev)[view].add(counts[view, c], categories[c], number)
        self._waiting.clear()

    def totals(self) -> dict[str, tuple[Tensor, int]]:
        """Pixels, int64 (2, 256), and pictures of ``perspective`` and ``bev``; every rank has to ask."""
        self._count()
        return {"perspective": self.perspective.totals(), "bev": self.bev.totals()}

    def counts(self) -> dict[str, Any]:
        """What :class:`segkit.road.pooling.RoadPooler` takes."""
        views = {name: {"pictures": n, "pixels": pixels.tolist()} for name, (pixels, n) in self.totals().items()}
        return {"target": self.target, **views}

    def compute(self) -> dict[str, Tensor]:
        """The scores of both views, see :func:`view_scores`."""
        return view_scores(self.target, self.totals())

    def reset(self) -> None:
        """Forget all pictures."""
        self._waiting.clear()
        super().reset()
        self.perspective.reset()
        self.bev.reset()


def view_scores(target: str, totals: Mapping[str, tuple[Tensor, int]]) -> dict[str, Tensor]:
    """``<target>/perspective/MaxF`` and ``/AP``, in percent, and the same of ``<target>/bev``.

    The latter are there if every picture was counted there (had a calibration): a score of some of them would pass for
    the whole's. float64 scalars on the CPU; NaN without road pixels.

    Args:
        target: road or lane.
        totals: see :meth:`RoadViews.totals`.
    """
    values = {}
    for view, (counts, pictures) in totals.items():
        if pictures == totals["perspective"][1]:
            scores = road_scores(counts)
            for name in ("MaxF", "AP"):
                values[f"{target}/{view}/{name}"] = torch.tensor(scores[name], dtype=torch.float64)
    return values
