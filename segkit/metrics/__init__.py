"""Scores of classes, summed picture by picture, over batches and ranks."""

from segkit.metrics.confusion import ClassScores, ConfusionMatrix

__all__ = ["ClassScores", "ConfusionMatrix"]
