"""Probabilities smoothed over a video's frames, and how much the classes flicker before and after."""

import torch
from torch import Tensor


class Flicker:
    """The share of pixels whose class changes from one frame to the next, seen frame by frame."""

    def __init__(self) -> None:
        self._before: Tensor | None = None
        self._sum, self._pairs = 0.0, 0

    def see(self, classes: Tensor) -> None:
        """The next frame's classes (H, W), any integers. One of another size begins anew."""
        if self._before is not None and self._before.shape == classes.shape:
            self._sum += float((classes != self._before).float().mean())
            self._pairs += 1
        self._before = classes

    @property
    def share(self) -> float | None:
        """Mean over all pairs of frames, 0…1; None of less than two frames."""
        return self._sum / self._pairs if self._pairs else None


class Smoothing:
    """An exponential mean over frames: ``weight`` · what it was + (1 - ``weight``) · the frame's own probabilities.

    One map of probabilities is kept.

    Args:
        weight: of the past, 0…<1; 0: frames stay as they are.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self._mean: Tensor | None = None

    @torch.inference_mode()
    def __call__(self, probabilities: Tensor) -> Tensor:
        """The mean up to this frame, (C, H, W) as ``probabilities``, good until the next call."""
        if self.weight == 0:
            return probabilities
        if self._mean is None or self._mean.shape != probabilities.shape:
            self._mean = probabilities.clone()
        else:
            self._mean.lerp_(probabilities, 1 - self.weight)
        return self._mean
