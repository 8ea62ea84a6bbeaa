from math import nan

from segkit.evaluation.tables import class_table


def report(tree: float, road: float, mean: float, accuracy: float, absent: list[str]) -> dict:
    return {"iou": {"tree": tree, "road": road}, "mean_iou": mean, "accuracy": accuracy, "absent": absent}


def test_classes_with_their_mean_and_those_that_no_label_holds():
    assert class_table(report(0.5, 1.0, 0.75, 0.876, ["car", "sign symbol"])).split("\n") == [
        "Class          IoU",
        "tree       50.00 %",
        "road      100.00 %",
        "mean IoU   75.00 %",
        "accuracy   87.60 %",
        "in no label: car, sign symbol",
    ]


def test_classes_clean_and_corrupted():
    clean, corrupted = report(0.5, 1.0, 0.75, 0.875, []), report(0.25, 0.9, 0.575, nan, [])
    assert class_table(clean, corrupted, "fog 5").split("\n") == [
        "Class     IoU clean    fog 5     loss",
        "tree        50.00 %  25.00 %  25.00 %",
        "road       100.00 %  90.00 %  10.00 %",
        "mean IoU    75.00 %  57.50 %  17.50 %",
        "accuracy    87.50 %        –        –",
    ]
