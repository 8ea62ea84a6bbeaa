"""Networks and data sets of different classes, compared."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from segkit.data.records import SegmentationClass
from segkit.errors import UserError
from segkit.evaluation.compared import Compared, compare_classes
from segkit.predict.predictor import Segmenter


def named(*names: str) -> list[SegmentationClass]:
    return [SegmentationClass(name, (len(name), 0, 0)) for name in names]


NETWORK = named("road", "car", "truck", "vegetation", "rider")
DATA = named("sky", "tree", "car", "road", "fence")


class Sure(Segmenter):
    """Says of pixel i what column i of its probabilities says."""

    class_list = tuple(NETWORK)

    def __init__(self, probabilities: Sequence[Sequence[float]]) -> None:
        self.says = torch.tensor(probabilities)[:, None]

    def views(self, picture):
        return []

    def probabilities_at(self, views, size):
        return self.says


def test_equal_names_are_compared_and_the_rest_is_named() -> None:
    found = compare_classes(NETWORK, DATA, {})
    assert [item.name for item in found.class_list] == ["car", "road", "left out"]
    assert found.network.tolist() == [1, 0, 2, 2, 2]
    assert found.data[[0, 1, 2, 3, 4, 255]].tolist() == [255, 255, 0, 1, 255, 255]
    assert found.left_out == {"network": ["truck", "vegetation", "rider"], "data": ["sky", "tree", "fence"]}


def test_classes_are_compared_under_a_name() -> None:
    merge = {"plant": ["tree", "vegetation"], "vehicle": ["car", "truck"]}
    found = compare_classes(NETWORK, DATA, merge)
    assert [item.name for item in found.class_list] == ["plant", "vehicle", "road", "left out"]
    assert found.class_list[0].colour == DATA[1].colour
    assert found.network.tolist() == [2, 1, 1, 0, 3]
    assert found.members["vehicle"] == {"network": ["car", "truck"], "data": ["car"]}
    assert found.left_out == {"network": ["rider"], "data": ["sky", "fence"]}
    without = compare_classes(NETWORK, DATA, merge | {"ignore": ["road", "rider"]})
    assert [item.name for item in without.class_list] == ["plant", "vehicle", "left out"]


def test_the_decision_stays_that_of_the_network() -> None:
    comparison = compare_classes(NETWORK, DATA, {"vehicle": ["car", "truck"], "plant": ["tree", "vegetation"]})
    # Together car and truck are likelier than the road, but the network says road.
    says = [[0.4, 0.0, 0.1], [0.3, 0.2, 0.1], [0.3, 0.5, 0.1], [0.0, 0.3, 0.1], [0.0, 0.0, 0.6]]
    classes, _ = Compared(Sure(says), comparison).predict(np.zeros((1, 3, 3), np.uint8))
    assert [comparison.class_list[number].name for number in classes[0]] == ["road", "vehicle", "left out"]


def test_nothing_is_left_out_where_all_classes_are_named() -> None:
    merge = {"all": ["rider", "truck", "fence", "sky"], "plant": ["tree", "vegetation"]}
    found = compare_classes(NETWORK, DATA, merge)
    assert [item.name for item in found.class_list] == ["all", "plant", "car", "road"]
    assert found.left_out == {"network": [], "data": []}


@pytest.mark.parametrize(
    ("merge", "line"),
    [
        ({"a": ["tre"]}, "neither network nor data have a class tre; did you mean tree"),
        ({"vehicle": ["truck"]}, r"compare\.vehicle: the data has none of truck; it has sky, tree"),
        ({"plant": ["tree"]}, r"compare\.plant: the network has none of tree"),
        ({"a": ["tree", "vegetation"], "b": ["tree", "rider"]}, "tree would be part of two classes"),
        ({"road": ["tree", "vegetation"]}, "road would be part of two classes"),
        ({"ignore": ["car"]}, r"road alone can be compared .* name more, compare=\{"),
    ],
)
def test_what_cannot_be_compared_is_one_line(merge: dict[str, list[str]], line: str) -> None:
    with pytest.raises(UserError, match=line):
        compare_classes(NETWORK, DATA, merge)
