"""Bootstrap intervals, where they can be counted by hand, and against resampling picture by picture."""

import pytest
import torch

from segkit.metrics.bootstrap import RESAMPLES, iou_intervals
from segkit.metrics.confusion import iou_per_class, mean_iou


def matrices(*pictures: list[list[int]]) -> torch.Tensor:
    return torch.tensor(pictures, dtype=torch.int64)


def test_two_pictures_have_three_samples() -> None:
    # Drawn are one picture twice (a quarter each) or both (half of the time): the ends are the pictures' own scores.
    good, bad = [[9, 1], [0, 10]], [[2, 8], [0, 10]]
    mean, per_class = iou_intervals(matrices(good, bad))
    assert per_class[:, 0].tolist() == pytest.approx([2 / 10, 9 / 10])
    assert per_class[:, 1].tolist() == pytest.approx([10 / 18, 10 / 11])
    assert mean.tolist() == pytest.approx([(2 / 10 + 10 / 18) / 2, (9 / 10 + 10 / 11) / 2])


def test_pictures_that_are_alike_leave_no_doubt_and_one_picture_says_nothing_of_others() -> None:
    own = [[3, 1], [2, 4]]
    mean, per_class = iou_intervals(matrices(own, own, own))
    assert per_class.tolist() == [pytest.approx([3 / 6, 4 / 7])] * 2
    assert mean.tolist() == pytest.approx([(3 / 6 + 4 / 7) / 2] * 2)
    mean, per_class = iou_intervals(matrices(own))
    assert mean.isnan().all()
    assert per_class.isnan().all()


def test_a_class_is_scored_in_the_samples_that_hold_it_and_one_that_no_label_holds_has_no_interval() -> None:
    # The second class is in the first picture alone, where it is always right; the third is only ever predicted.
    mean, per_class = iou_intervals(matrices([[4, 0, 0], [0, 4, 0], [0, 0, 0]], [[2, 0, 2], [0, 0, 0], [0, 0, 0]]))
    assert per_class[:, 1].tolist() == [1, 1]
    assert per_class[:, 2].isnan().all()
    assert mean.tolist() == pytest.approx([1 / 2, 1])  # the second picture twice, the first one twice


def test_equals_resampling_picture_by_picture() -> None:
    generator = torch.Generator().manual_seed(5)
    own = torch.randint(0, 50, (7, 3, 3), generator=generator) + 20 * torch.eye(3, dtype=torch.int64)
    drawn = torch.randint(7, (RESAMPLES, 7), generator=torch.Generator().manual_seed(0))
    sums = [own[pictures].sum(0) for pictures in drawn]
    ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
    mean, per_class = iou_intervals(own)
    assert torch.allclose(mean, torch.stack([mean_iou(matrix) for matrix in sums]).quantile(ends))
    assert torch.allclose(per_class, torch.stack([iou_per_class(matrix) for matrix in sums]).quantile(ends, dim=0))
    assert mean[0] < mean_iou(own.sum(0)) < mean[1]
    assert [ends.tolist() for ends in iou_intervals(own)] == [mean.tolist(), per_class.tolist()]  # the seed is fixed
