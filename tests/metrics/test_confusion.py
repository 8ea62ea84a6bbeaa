import json
import math

import pytest
import torch
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassConfusionMatrix

from segkit.data.records import SegmentationClass
from segkit.metrics.confusion import (
    ClassScores,
    ConfusionMatrix,
    class_report,
    iou_per_class,
    mean_iou,
    pixel_accuracy,
)
from segkit.metrics.cross_validation import counts_of, pooled


def counted(predicted: list[int], label: list[int], classes: int = 3) -> torch.Tensor:
    metric = ConfusionMatrix(classes)
    metric.update(torch.tensor(predicted), torch.tensor(label, dtype=torch.uint8))
    return metric.compute()


def test_hand_counted_pixels() -> None:
    matrix = counted([0, 0, 1, 1, 1, 0], [0, 1, 1, 1, 0, 255], classes=2)
    assert matrix.tolist() == [[1, 1], [1, 2]]
    assert iou_per_class(matrix).tolist() == pytest.approx([1 / 3, 2 / 4])
    assert float(mean_iou(matrix)) == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert float(mean_iou(matrix, [1])) == pytest.approx(1 / 2)
    assert float(pixel_accuracy(matrix)) == pytest.approx(3 / 5)


def test_a_class_that_no_label_holds_is_left_out_of_the_mean_even_when_predicted() -> None:
    matrix = counted([0, 0, 1, 2], [0, 0, 1, 1])
    assert iou_per_class(matrix).tolist() == pytest.approx([1, 1 / 2, 0])
    assert float(mean_iou(matrix)) == pytest.approx(3 / 4)


def test_a_class_that_is_nowhere_has_no_iou_and_nothing_scored_has_no_accuracy() -> None:
    assert math.isnan(iou_per_class(counted([0], [0], classes=2))[1])
    nothing = counted([0, 1], [255, 255])
    assert math.isnan(float(pixel_accuracy(nothing)))
    assert math.isnan(float(mean_iou(nothing)))


def test_equals_torchmetrics_and_does_not_depend_on_the_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randint(0, 11, (5, 13, 17), generator=generator)
    label = torch.randint(0, 12, (5, 13, 17), generator=generator)
    label[label == 11] = 255
    metric = ConfusionMatrix(11)
    for one_predicted, one_label in zip(predicted, label.byte(), strict=True):
        metric.update(one_predicted, one_label)
    reference = MulticlassConfusionMatrix(11, ignore_index=255)
    reference.update(predicted, label)
    assert torch.equal(metric.compute(), reference.compute())


CLASSES = tuple(SegmentationClass(name, None) for name in ("sky", "road", "car", "tree"))


def test_the_report_names_classes_and_lists_those_that_no_label_holds() -> None:
    # car is predicted only, tree is nowhere; the pixel that is not scored is not in the matrix.
    matrix = counted([0, 0, 1, 2, 0, 2], [0, 0, 1, 1, 1, 255], classes=4)
    report = class_report(matrix, CLASSES)
    assert report == {
        "mean_iou": pytest.approx((2 / 3 + 1 / 3) / 2),
        "foreground_iou": pytest.approx((2 / 3 + 1 / 3) / 2),
        "mean_recall": pytest.approx((1 + 1 / 3) / 2),
        "mean_precision": pytest.approx((2 / 3 + 1) / 2),
        "accuracy": pytest.approx(3 / 5),
        "iou": {"sky": pytest.approx(2 / 3), "road": pytest.approx(1 / 3)},
        "recall": {"sky": pytest.approx(1), "road": pytest.approx(1 / 3)},
        "precision": {"sky": pytest.approx(2 / 3), "road": pytest.approx(1)},
        "pixels": {"sky": 2, "road": 3},
        "absent": ["car", "tree"],
        "confusion": {
            "classes": ["sky", "road", "car", "tree"],
            "pixels": [[2, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        },
    }
    assert json.loads(json.dumps(report)) == report


def test_a_class_that_is_never_predicted_has_precision_0() -> None:
    report = class_report(counted([0, 0, 0], [0, 0, 1], classes=4), CLASSES)
    assert report["precision"] == {"sky": pytest.approx(2 / 3), "road": 0}
    assert report["mean_precision"] == pytest.approx(1 / 3)


def test_the_report_of_nothing_scored_has_no_figures() -> None:
    report = class_report(counted([0, 1], [255, 255], classes=4), CLASSES)
    assert math.isnan(report["mean_iou"])
    assert math.isnan(report["accuracy"])
    assert report["iou"] == {}
    assert report["absent"] == ["sky", "road", "car", "tree"]


def test_the_report_agrees_with_the_scores_of_training() -> None:
    generator = torch.Generator().manual_seed(1)
    predicted = torch.randint(0, 4, (200,), generator=generator)
    label = torch.randint(0, 3, (200,), generator=generator).byte()  # no tree
    metric = ClassScores(CLASSES)
    metric.update(predicted, label)
    report, scores = class_report(metric.matrix, CLASSES), metric.compute()
    assert report["mean_iou"] == float(scores["mean_iou"])
    assert report["accuracy"] == float(scores["accuracy"])
    assert {f"iou/{name}": iou for name, iou in report["iou"].items()} == {
        name: float(value) for name, value in scores.items() if name.startswith("iou/")
    }
    assert report["absent"] == ["tree"]


@pytest.mark.parametrize("background", [False, True])
def test_a_class_without_a_colour_counts_unless_it_is_declared_as_background(background: bool) -> None:
    """The same number chooses the checkpoint, comes of ``evaluate`` and of pooled runs."""
    classes = (SegmentationClass("ground", None, background), SegmentationClass("sign", (255, 0, 0)))
    metric = ClassScores(classes)
    metric.matrix += torch.tensor([[97, 1], [2, 1]])
    scores = {name: float(value) for name, value in metric.compute().items()}
    ground, sign = 97 / 100, 1 / 4
    assert scores["iou"] == pytest.approx(sign if background else (ground + sign) / 2)
    assert scores["mean_iou"] == pytest.approx((ground + sign) / 2)
    assert class_report(metric.matrix, classes)["foreground_iou"] == scores["iou"]
    assert pooled([counts_of(MetricCollection([metric]))])["iou"] == scores["iou"]
