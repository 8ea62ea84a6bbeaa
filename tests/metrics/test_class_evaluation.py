"""All pictures and each picture, counted by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from segkit.data.records import Record, SegmentationClass
from segkit.metrics.class_evaluation import ClassEvaluation, PictureScore
from segkit.metrics.trimap import trimap

CLASSES = tuple(SegmentationClass(name, None) for name in ("sky", "road", "car"))


def evaluation(*pictures: tuple[list[int], list[int]]) -> ClassEvaluation:
    """Of pictures of one row: predicted and label."""
    found = ClassEvaluation(CLASSES)
    for number, (predicted, label) in enumerate(pictures):
        own = np.array([label], np.uint8)
        near = torch.from_numpy(trimap(own))
        record = Record(f"p{number}", f"drive{number}", Path(), Path())
        found.add(record, torch.tensor([predicted]), torch.from_numpy(own), near)
    return found


# p0: five sky, five road; the boundary's six pixels hold two errors, a third lies outside. p1: sky alone, one wrong.
P0 = ([1, 0, 0, 0, 1, 2, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 255])
P1 = ([0, 0, 0, 1], [0, 0, 0, 0])


def test_the_scores_of_all_pictures_and_what_each_class_has_of_them() -> None:
    result = evaluation(P0, P1).result()
    # Sky: 3 + 3 right of 9, road 4 right of 5 and predicted 7 times.
    assert result["iou"] == {"sky": pytest.approx(6 / 9), "road": pytest.approx(4 / 8)}
    assert result["recall"] == {"sky": pytest.approx(6 / 9), "road": pytest.approx(4 / 5)}
    assert result["precision"] == {"sky": pytest.approx(1), "road": pytest.approx(4 / 7)}
    assert result["mean_recall"] == pytest.approx((6 / 9 + 4 / 5) / 2)
    assert result["mean_precision"] == pytest.approx((1 + 4 / 7) / 2)
    assert result["pixels"] == {"sky": 9, "road": 5}
    assert result["pictures"] == {"sky": 2, "road": 1}
    assert result["absent"] == ["car"]
    assert result["confusion"]["pixels"] == [[6, 3, 0], [0, 4, 1], [0, 0, 0]]
    # Within 3 px of the boundary: sky, sky, wrong | wrong, road, road.
    assert result["trimap_iou"] == {
        "mean_iou": pytest.approx((2 / 3 + 2 / 4) / 2),
        "iou": {"sky": pytest.approx(2 / 3), "road": pytest.approx(2 / 4)},
        "width": 3,
        "pixels": 6,
    }
    # The samples are p0 twice, both, or p1 twice, which holds no road.
    assert result["interval"]["iou"] == {"sky": pytest.approx([3 / 5, 3 / 4]), "road": pytest.approx([4 / 8, 4 / 7])}
    assert result["interval"]["mean_iou"] == pytest.approx([(6 / 9 + 4 / 8) / 2, 3 / 4])
    assert json.loads(json.dumps(result)) == result


def test_the_scores_of_each_picture() -> None:
    first, second = evaluation(P0, P1).pictures()
    assert first == PictureScore("p0", "drive0", pytest.approx((3 / 5 + 4 / 7) / 2), pytest.approx(7 / 10))
    assert second == PictureScore("p1", "drive1", pytest.approx(3 / 4), pytest.approx(3 / 4))
    (nothing,) = evaluation(([0, 1], [255, 255])).pictures()
    assert math.isnan(nothing.mean_iou)
    assert math.isnan(nothing.accuracy)
