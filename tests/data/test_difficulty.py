import math

import numpy as np
import pytest

from segkit.data.difficulty import best_grey_threshold_iou, grey_histograms


def test_by_hand() -> None:
    image = np.repeat(np.array([[10, 100, 100, 101, 102, 200, 7]], np.uint8)[..., None], 3, axis=2)
    label = np.array([[0, 1, 0, 1, 1, 1, 255]], np.uint8)
    first = grey_histograms(image, label)
    assert first.sum(1).tolist() == [2, 4]
    # [100, 200] finds all four road pixels and one other.
    assert best_grey_threshold_iou(first) == pytest.approx(4 / 5)
    # A second picture with much of everything else at 200 makes [100, 102] the best: 3 of 4, one wrong.
    second = grey_histograms(np.full((4, 4, 3), 200, np.uint8), np.zeros((4, 4), np.uint8))
    assert best_grey_threshold_iou(first + second) == pytest.approx(3 / 5)
    assert math.isnan(best_grey_threshold_iou(second))
