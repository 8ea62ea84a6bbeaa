"""Scores that are summed picture by picture, over batches and ranks: of classes, and KITTI road's own."""

from segkit.metrics.confusion import ClassScores, ConfusionMatrix
from segkit.road.score import RoadScore

__all__ = ["ClassScores", "ConfusionMatrix", "RoadScore"]
