"""The KITTI road score during training: in the picture, and in bird's-eye view where calibration is there."""

from collections import Counter
from typing import Literal

import torch
from torch import Tensor
from torchmetrics.wrappers.abstract import WrapperMetric

from segkit.geometry import BirdsEyeView, Calibration
from segkit.metrics.road_score import LEVELS, PAIRS, UNSCORED_PAIR, RoadScore, count_pairs, pairs, road_scores

TOGETHER = 32
"""Views of pictures that are counted together, because each count waits for the GPU to have done all before it."""


class RoadViews(WrapperMetric):
    """The road score in the picture (perspective) and in bird's-eye view (bev), over all categories together.

    The two scores hold the state and sum it over the ranks, so every rank has to compute.
    """

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
            above = self.birds_eye_view.warp(pixels, calibration, fill=UNSCORED_PAIR)
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

    def compute(self) -> dict[str, Tensor]:
        """``<target>/perspective/MaxF`` and ``/AP``, in percent, and the same of ``<target>/bev``.

        The latter are there if every picture had a calibration: a score of some of them would pass for the whole's.
        float64 scalars on the CPU; NaN without road pixels.
        """
        self._count()
        views = {"perspective": self.perspective}
        if self.bev.total_pictures() == self.perspective.total_pictures():
            views["bev"] = self.bev
        values = {}
        for view, score in views.items():
            scores = road_scores(score.total_counts())
            for name in ("MaxF", "AP"):
                values[f"{self.target}/{view}/{name}"] = torch.tensor(scores[name], dtype=torch.float64)
        return values

    def reset(self) -> None:
        """Forget all pictures."""
        self._waiting.clear()
        super().reset()
        self.perspective.reset()
        self.bev.reset()
