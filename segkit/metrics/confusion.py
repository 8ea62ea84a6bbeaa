"""The confusion matrix, and the scores that are read off it."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from segkit.data.records import IGNORE_INDEX, SegmentationClass


def confusion_matrix(predicted: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Pixel counts by true class (rows) and predicted class (columns): int64 (classes, classes).

    Both arguments hold class numbers in the same shape (any); label 255 is not counted.
    """
    # One count over (label, predicted) pairs; unscored pixels fall into an extra row that is cut off.
    rows = torch.where(label == IGNORE_INDEX, num_classes, label.long())
    pairs = rows * num_classes + predicted
    counts = torch.bincount(pairs.flatten(), minlength=(num_classes + 1) * num_classes)
    return counts.view(num_classes + 1, num_classes)[:num_classes]


class ConfusionMatrix(Metric):
    """Pixel counts by true class (rows) and predicted class (columns), summed over pictures, batches and ranks.

    Scores of a data set are read off the summed matrix: every scored pixel weighs the same, whatever its picture.
    """

    full_state_update = False
    matrix: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("matrix", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, label: Tensor) -> None:
        """Count pixels. Both hold class numbers in the same shape (any); label 255 is not counted."""
        self.matrix += confusion_matrix(predicted, label, self.num_classes)

    def compute(self) -> Tensor:
        """The (classes, classes) int64 matrix."""
        return self.matrix

    def total(self) -> Tensor:
        """The matrix summed over the ranks, so every rank has to ask."""
        with self.sync_context(should_sync=not self._is_synced, should_unsync=not self._is_synced):
            return self.matrix.clone()


class ClassScores(ConfusionMatrix):
    """Accuracy and IoUs as named scores, see :func:`class_scores`.

    Attributes:
        names: of the classes, in the order of the matrix.
        foreground: names of those that are no background.
    """

    counts_name = "classes"

    def __init__(self, class_list: Sequence[SegmentationClass]) -> None:
        super().__init__(len(class_list))
        self.names = [item.name for item in class_list]
        self.foreground = foreground(class_list)

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        """Scores by name, 0…1; NaN where nothing was scored."""
        return class_scores(self.matrix, self.names, self.foreground)

    def counts(self) -> dict[str, Any]:
        """What was counted since the last reset, over all ranks, for :mod:`segkit.metrics.cross_validation`."""
        return {"names": self.names, "foreground": self.foreground, "pixels": self.total().tolist()}


def foreground(class_list: Sequence[SegmentationClass]) -> list[str]:
    """The names of the classes that are no background."""
    return [item.name for item in class_list if not item.background]


def class_scores(matrix: Tensor, names: Sequence[str], foreground: Collection[str]) -> dict[str, Tensor]:
    """Accuracy and IoUs by name, 0…1; NaN where nothing was scored.

    ``iou`` is the mean over the classes of the foreground (for KITTI the road alone), ``mean_iou`` that over all; both
    leave out classes that no label holds. ``iou/<class>`` is there for each class that a label holds.

    Args:
        matrix: int64 (classes, classes), see :class:`ConfusionMatrix`.
        names: of the classes, in the order of the matrix.
        foreground: names of those that ``iou`` is of.
    """
    per_class = iou_per_class(matrix)
    scores = {
        "iou": mean_iou(matrix, [i for i, name in enumerate(names) if name in foreground]),
        "mean_iou": mean_iou(matrix),
        "accuracy": pixel_accuracy(matrix),
    }
    held = matrix.sum(1) > 0
    return scores | {f"iou/{name}": per_class[i] for i, name in enumerate(names) if held[i]}


def iou_per_class(matrix: Tensor) -> Tensor:
    """Intersection over union of each class, 0…1, shape (classes,); NaN for a class in neither label nor prediction.

    A class that is absent from the labels but predicted somewhere has IoU 0: those pixels are errors.
    """
    hits = matrix.diagonal().double()
    return hits / (matrix.sum(0) + matrix.sum(1) - matrix.diagonal())


def mean_iou(matrix: Tensor, classes: list[int] | None = None) -> Tensor:
    """Mean IoU over ``classes`` (default all), leaving out classes that no label holds; NaN if none is left."""
    present = matrix.sum(1) > 0
    if classes is not None:
        chosen = torch.zeros_like(present)
        chosen[classes] = True
        present = present & chosen
    return iou_per_class(matrix)[present].mean()


def pixel_accuracy(matrix: Tensor) -> Tensor:
    """Share of the scored pixels whose class is right, 0…1; NaN when nothing was scored."""
    return matrix.diagonal().sum().double() / matrix.sum()


def percent(value: float) -> str:
    """A percentage for people, with a dash where a score does not exist (NaN)."""
    return "–" if math.isnan(value) else f"{value:z.2f} %"


def class_report(matrix: Tensor, class_list: Sequence[SegmentationClass]) -> dict[str, Any]:
    """A confusion matrix and its scores by class names, of plain numbers and lists (``result.json``).

    Returns:
        ``mean_iou``, ``foreground_iou`` (what :func:`class_scores` calls ``iou``), ``mean_recall`` (also called class
        average accuracy), ``mean_precision`` and ``accuracy``, 0…1, NaN when nothing was scored. By the names of the
        classes that a label holds, which are those of the means: ``iou``, ``recall``, ``precision`` (0 for a class
        that is never predicted), 0…1, and ``pixels``, how many labels have of it. ``absent``, the names of the others.
        ``confusion``: the ``classes`` in the order of the matrix, and its ``pixels``, a row per true class.
    """
    names = [item.name for item in class_list]
    held = matrix.sum(1) > 0
    hits, labelled, predicted = matrix.diagonal().double(), matrix.sum(1), matrix.sum(0)
    # A predicted class has one pixel at least, so the lower bound changes nothing but 0 / 0.
    recall, precision = hits / labelled, hits / predicted.clamp(min=1)

    def by_name(values: Tensor) -> dict[str, Any]:
        return {name: value for name, value, here in zip(names, values.tolist(), held.tolist(), strict=True) if here}

    return {
        "mean_iou": float(mean_iou(matrix)),
        "foreground_iou": float(class_scores(matrix, names, foreground(class_list))["iou"]),
        "mean_recall": float(recall[held].mean()),
        "mean_precision": float(precision[held].mean()),
        "accuracy": float(pixel_accuracy(matrix)),
        "iou": by_name(iou_per_class(matrix)),
        "recall": by_name(recall),
        "precision": by_name(precision),
        "pixels": by_name(labelled),
        "absent": [name for name, here in zip(names, held.tolist(), strict=True) if not here],
        "confusion": {"classes": names, "pixels": matrix.tolist()},
    }
