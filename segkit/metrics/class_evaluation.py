"""The class scores of a set of pictures, with the counts of every single picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segkit.data.records import Record, SegmentationClass
from segkit.metrics.bootstrap import LEVEL, RESAMPLES, iou_intervals
from segkit.metrics.confusion import class_report, confusion_matrix, mean_iou, pixel_accuracy
from segkit.metrics.trimap import WIDTH


@dataclass(frozen=True)
class PictureScore:
    """One picture's scores, 0…1: the mean IoU over the classes that its label holds, and the share of its scored
    pixels that are right; NaN where none is scored."""

    name: str
    group: str
    mean_iou: float
    accuracy: float


class ClassEvaluation:
    """Confusion matrices picture by picture: of all scored pixels, and of those around boundaries.

    Args:
        class_list: the classes, in the order of their numbers.
    """

    def __init__(self, class_list: Sequence[SegmentationClass]) -> None:
        self.class_list = class_list
        self.records: list[Record] = []
        self._matrices: list[Tensor] = []
        self._trimap: list[Tensor] = []

    def add(self, record: Record, predicted: Tensor, label: Tensor, near: Tensor) -> None:
        """Count a picture.

        Args:
            record: the picture's.
            predicted: class numbers (H, W).
            label: class numbers (H, W), 255 not scored.
            near: the same around boundaries alone, see :func:`segkit.metrics.trimap.trimap`.
        """
        self.records.append(record)
        # Not on the GPU, where many pictures of many classes would take the room of the network.
        self._matrices.append(confusion_matrix(predicted, label, len(self.class_list)).cpu())
        self._trimap.append(confusion_matrix(predicted, near, len(self.class_list)).cpu())

    def matrices(self) -> Tensor:
        """The pictures' confusion matrices in the order in which they were added: int64 (pictures, classes, classes),
        on the CPU."""
        return torch.stack(self._matrices)

    def pictures(self) -> list[PictureScore]:
        """The scores of each picture, in the order in which they were added."""
        return [
            PictureScore(record.name, record.group, float(mean_iou(matrix)), float(pixel_accuracy(matrix)))
            for record, matrix in zip(self.records, self.matrices(), strict=True)
        ]

    def result(self) -> dict[str, Any]:
        """What :func:`segkit.metrics.confusion.class_report` says of all pictures together, and:

        ``pictures``: how many pictures' labels hold a class, by its name. ``interval``: the ends ``[low, high]`` of the
        95 % bootstrap intervals of ``mean_iou`` and of each class's ``iou``, see
        :func:`segkit.metrics.bootstrap.iou_intervals`. ``trimap_iou``: ``mean_iou``, each class's ``iou`` and the
        number of ``pixels`` in the band of ``width`` pixels around boundaries.
        """
        matrices = self.matrices()
        report = class_report(matrices.sum(0), self.class_list)
        near = class_report(torch.stack(self._trimap).sum(0), self.class_list)
        holding = (matrices.sum(2) > 0).sum(0).tolist()
        mean, per_class = iou_intervals(matrices)
        names = {item.name: number for number, item in enumerate(self.class_list) if item.name in report["iou"]}
        confusion = report.pop("confusion")
        return {
            **report,
            "pictures": {name: holding[number] for name, number in names.items()},
            "interval": {
                "mean_iou": mean.tolist(),
                "iou": {name: per_class[:, number].tolist() for name, number in names.items()},
                "level": LEVEL,
                "resamples": RESAMPLES,
            },
            "trimap_iou": {
                "mean_iou": near["mean_iou"],
                "iou": near["iou"],
                "width": WIDTH,
                "pixels": sum(near["pixels"].values()),
            },
            "confusion": confusion,
        }
