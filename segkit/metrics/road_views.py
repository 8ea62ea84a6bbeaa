"""The KITTI road score during training: in the picture, and in bird's-eye view where calibration is there."""

from typing import Literal

import torch
from torch import Tensor
from torchmetrics.wrappers.abstract import WrapperMetric

from segkit.data.records import UNSCORED
from segkit.geometry import BirdsEyeView, Calibration
from segkit.metrics.road_score import RoadScore, road_figures


class RoadViews(WrapperMetric):
    """The road score in the picture (perspective) and in bird's-eye view (bev), over all categories together.

    The two scores hold the state and sum it over the ranks, so every rank has to compute.
    """

    def __init__(self, target: Literal["road", "lane"]) -> None:
        super().__init__()
        self.target = target
        self.perspective, self.bev = RoadScore(target), RoadScore(target)
        self.birds_eye_view = BirdsEyeView()

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
        self.perspective.update(confidence, label, group)
        if calibration is not None:
            view = self.birds_eye_view
            self.bev.update(view.warp(confidence, calibration), view.warp(label, calibration, fill=UNSCORED), group)

    def compute(self) -> dict[str, Tensor]:
        """``<target>/perspective/MaxF`` and ``/AP``, in percent, and the same of ``<target>/bev``.

        The latter are there if every picture had a calibration: a score of some of them would pass for the whole's.
        float64 scalars on the CPU; NaN without road pixels.
        """
        views = {"perspective": self.perspective}
        if self.bev.total_pictures() == self.perspective.total_pictures():
            views["bev"] = self.bev
        scores = {}
        for view, score in views.items():
            figures = road_figures(score.total_counts())
            for name in ("MaxF", "AP"):
                scores[f"{self.target}/{view}/{name}"] = torch.tensor(figures[name], dtype=torch.float64)
        return scores

    def reset(self) -> None:
        """Forget all pictures."""
        super().reset()
        self.perspective.reset()
        self.bev.reset()
