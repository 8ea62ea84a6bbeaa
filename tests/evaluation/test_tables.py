from math import nan
from typing import Any

from segkit.evaluation.tables import class_rows, class_table, loss_table


def report(tree: float, road: float, mean: float, accuracy: float, absent: list[str]) -> dict[str, Any]:
    """What every ``result.json`` has, those of before there were intervals too."""
    return {"iou": {"tree": tree, "road": road}, "mean_iou": mean, "accuracy": accuracy, "absent": absent}


WHOLE = report(0.5, 1.0, 0.75, 0.876, ["car", "sign symbol"]) | {
    "recall": {"tree": 0.625, "road": 1.0},
    "precision": {"tree": 0.0, "road": 1.0},
    "mean_recall": 0.8125,
    "mean_precision": 0.5,
    "pixels": {"tree": 1200, "road": 34},
    "pictures": {"tree": 3, "road": 1},
    "interval": {"mean_iou": [0.7219, 0.78], "iou": {"tree": [0.44, 0.56], "road": [None, None]}, "level": 0.95},
    "trimap_iou": {"mean_iou": 0.25, "iou": {"road": 0.25}, "width": 3, "pixels": 10},
}


def test_classes_in_their_order_with_their_mean_and_those_that_no_label_holds() -> None:
    assert class_table(WHOLE).split("\n") == [
        "class            IoU (95 %)  recall  precision  trimap IoU  pixels  pictures",
        "tree      50.00 (44.0–56.0)   62.50       0.00           –    1200         3",
        "road                 100.00  100.00     100.00       25.00      34         1",
        "mean      75.00 (72.2–78.0)   81.25      50.00       25.00    1234",
        "accuracy              87.60",
        "in no label: car, sign symbol",
        "in percent; trimap IoU: at most 3 px from a boundary between classes",
    ]


def test_a_result_of_before_has_the_columns_that_it_has() -> None:
    rows = class_rows(report(0.5, 1.0, 0.75, nan, []))
    assert rows == [["class", "IoU"], ["tree", "50.00"], ["road", "100.00"], ["mean", "75.00"], ["accuracy", "–"]]


def test_classes_clean_and_corrupted() -> None:
    clean, corrupted = report(0.5, 1.0, 0.75, 0.875, ["car"]), report(0.25, 0.9, 0.575, nan, [])
    assert loss_table(clean, corrupted, "fog 5").split("\n") == [
        "Class     IoU clean    fog 5     loss",
        "tree        50.00 %  25.00 %  25.00 %",
        "road       100.00 %  90.00 %  10.00 %",
        "mean IoU    75.00 %  57.50 %  17.50 %",
        "accuracy    87.50 %        –        –",
        "in no label: car",
    ]
