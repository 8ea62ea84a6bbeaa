"""Weights of classes: the rules by hand, and who counts the pixels."""

import math

import pytest
import torch
from torch import Tensor

from segkit.errors import UserError
from segkit.losses.class_weights import give_pixel_counts
from segkit.losses.cross_entropy import CrossEntropy
from segkit.losses.dice import Dice
from segkit.losses.focal import Focal
from segkit.losses.weighted_sum import WeightedSum


def test_rules_for_class_weights_by_hand() -> None:
    def weights(rule: str, counts: list[int]) -> list[float]:
        loss = CrossEntropy(rule)  # type: ignore[arg-type]
        give_pixel_counts(loss, lambda: torch.tensor(counts))
        assert loss.class_weights is not None
        assert loss.class_weights.weight is not None
        return loss.class_weights.weight.tolist()

    by_hand = [1 / math.log(1.02 + share) for share in (0.6, 0.3, 0.1)]
    assert weights("enet", [600, 300, 100]) == pytest.approx(by_hand)
    by_hand = [1 / math.log(1.10 + share) for share in (0.6, 0.3, 0.1)]
    assert weights("dabnet", [600, 300, 100]) == pytest.approx(by_hand)
    assert weights("median_frequency", [600, 300, 100]) == pytest.approx([0.5, 1, 3])
    # Of classes that do not occur nothing can be learnt, and they are not part of the median.
    assert weights("enet", [600, 0, 400])[1] == 0
    assert weights("median_frequency", [0, 600, 300, 100]) == pytest.approx([0, 0.5, 1, 3])
    assert weights("median_frequency", [0, 0]) == [0, 0]


def test_pixels_are_counted_once_and_only_for_rules() -> None:
    calls = []

    def count() -> Tensor:
        calls.append(1)
        return torch.tensor([600, 300, 100])

    give_pixel_counts(WeightedSum({"a": CrossEntropy([1, 1, 1]), "b": Dice()}, {"a": 1.0, "b": 1.0}), count)
    assert not calls
    give_pixel_counts(WeightedSum({"a": CrossEntropy("enet"), "b": Focal(2.0, "enet")}, {"a": 1.0, "b": 1.0}), count)
    assert len(calls) == 1


def test_weights_of_classes_are_one_for_each_and_no_part_of_checkpoints() -> None:
    logits, label = torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.uint8)
    with pytest.raises(UserError, match="2 weights for 3 classes"):
        CrossEntropy([1.0, 2.0])(logits, label)
    assert not CrossEntropy([1.0, 2.0]).state_dict()
