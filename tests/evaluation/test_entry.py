"""Evaluations side by side: what tells them apart, their table, their commands, their figures."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segkit.evaluation.entry import Evaluation, commands, figures, labels, score_rows


def row(value: float | None) -> dict[str, Any]:
    return dict.fromkeys(["MaxF", "AP", "PRE", "REC", "FPR", "FNR"], value) | {"threshold": 0.5}


def evaluation(augment: str, severity: int, lost: float, folder: Path = Path()) -> Evaluation:
    clean = {"UM_ROAD": row(95.0), "URBAN_ROAD": row(90.0 if augment == "flip" else 91.0)}
    worse = {"UM_ROAD": row(50.0), "URBAN_ROAD": row(clean["URBAN_ROAD"]["MaxF"] - lost)}
    result = {
        "bev": clean,
        "corrupted": {"corruption": f"shadow {severity}", "bev": worse},
        "training": [["experiment=scenes", f"augment={augment}", f"name={augment}"]],
        "checkpoint": [f"runs/{augment}/best.ckpt"],
    }
    return Evaluation(folder, result, [f"checkpoint=runs/{augment}", "corruption=shadow", f"severity={severity}"])


SWEEP = [evaluation(augment, severity, severity * 2.5) for augment in ("flip", "road") for severity in (1, 3)]


def test_networks_are_told_apart_by_what_differs_in_their_training() -> None:
    assert labels(SWEEP) == ["augment=flip", "augment=flip", "augment=road", "augment=road"]
    assert labels(SWEEP[:2]) == ["", ""]
    maps = [Evaluation(Path(), {"bev": {}, "predictions": name}, []) for name in ("a", "b")]
    assert labels(maps) == ["a", "b"]
    alike = [
        Evaluation(Path(), {"bev": {}, "training": [["seed=1"]], "checkpoint": [name]}, []) for name in ("x", "x", "y")
    ]
    assert labels(alike) == ["x", "x", "y"]


def test_what_was_averaged_stands_beside_every_score() -> None:
    plain = {"bev": {}, "training": [["seed=1"]], "checkpoint": ["x"], "average": [], "networks": 1}
    results = [
        plain,
        plain | {"average": ["flip", 0.75]},
        plain | {"training": [["seed=1"], ["seed=2"]], "networks": 2},
    ]
    results.append(results[2] | {"average": ["flip"]})
    items = [Evaluation(Path(), result, []) for result in results]
    assert labels(items[:2]) == ["plain", "average=[flip,0.75]"]
    assert labels(items[1:2]) == ["average=[flip,0.75]"]
    assert labels(items[:1]) == [""]
    maps = Evaluation(Path(), {"bev": {}, "predictions": "maps"}, [])
    assert labels([*items[:2], maps]) == ["plain", "average=[flip,0.75]", "maps"]
    assert labels(items) == [
        "plain",
        "average=[flip,0.75]",
        "seed=2 mean of 2 networks",
        "seed=2 average=[flip], mean of 2 networks",
    ]
    classes = {"iou": {"sky": 0.5}, "mean_iou": 0.25, "accuracy": 0.75}
    assert score_rows({"classes": classes, "average": ["flip"]})[0] == ["class, average=[flip]", "IoU"]


def test_the_classes_of_one_evaluation_clean_and_corrupted() -> None:
    classes = {"iou": {"sky": 0.5}, "mean_iou": 0.25, "accuracy": 0.75}
    assert score_rows({"classes": classes}) == [
        ["class", "IoU"],
        ["sky", "50.00"],
        ["mean", "25.00"],
        ["accuracy", "75.00"],
    ]
    worse = {"corruption": "fog 3", "classes": {"iou": {}, "mean_iou": 0.125, "accuracy": None}}
    assert score_rows({"classes": classes, "corrupted": worse}) == [
        ["class", "IoU", "IoU, fog 3"],
        ["sky", "50.00", "–"],
        ["mean", "25.00", "12.50"],
        ["accuracy", "75.00", "–"],
    ]
    assert score_rows({"bev": {}}) == []


def test_all_combinations_are_told_as_one_sweep_and_others_line_by_line() -> None:
    training = ["python train.py experiment=scenes augment=flip name=flip"]
    training += ["python train.py experiment=scenes augment=road name=road"]
    sweep = "segkit evaluate -m checkpoint=runs/flip,runs/road corruption=shadow severity=1,3"
    assert commands(SWEEP) == [*training, sweep]
    assert commands(SWEEP[:3])[2:] == [
        "segkit evaluate checkpoint=runs/flip corruption=shadow severity=1",
        "segkit evaluate checkpoint=runs/flip corruption=shadow severity=3",
        "segkit evaluate checkpoint=runs/road corruption=shadow severity=1",
    ]
    other = Evaluation(Path(), {}, ["checkpoint=runs/flip", "part=all"])
    assert commands([SWEEP[0], other])[1:] == [
        "segkit evaluate checkpoint=runs/flip corruption=shadow severity=1",
        "segkit evaluate checkpoint=runs/flip part=all",
    ]


def test_figures_are_those_of_each_networks_last_evaluation(tmp_path: Path) -> None:
    items = []
    for augment in ("flip", "road"):
        folder = tmp_path / augment
        for name in ("precision_recall_bev", "shadow_3/bev/worst_1_um_000001", "clean/bev/worst_1_um_000002"):
            path = folder / "figures" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.zeros((2, 2), np.uint8))
        items += [evaluation(augment, 1, 1, tmp_path / "nothing"), evaluation(augment, 3, 2, folder)]
    found = figures(items, 4)
    assert list(found) == [
        "augment-flip_precision_recall_bev",
        "augment-flip_shadow_3_bev_worst_1_um_000001",
        "augment-road_precision_recall_bev",
        "augment-road_shadow_3_bev_worst_1_um_000001",
    ]
    assert all(path.is_file() for path in found.values())
    assert list(figures(items, 2)) == ["augment-flip_precision_recall_bev", "augment-road_precision_recall_bev"]
    assert list(figures(items, 9)) == list(found)
    assert figures(items, 0) == {}


def test_figures_of_class_scores_are_the_confusion_matrix_and_the_worst_pictures(tmp_path: Path) -> None:
    for name in ("clean/confusion", "clean/worst_1_x", "clean/worst_2_y", "fog_3/worst_1_z"):
        path = tmp_path / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((2, 2), np.uint8))
    one = Evaluation(tmp_path, {"training": [["seed=0"]], "checkpoint": ["x"]}, [])
    assert list(figures([one], 9)) == ["clean_confusion", "clean_worst_1_x", "clean_worst_2_y"]
    other = Evaluation(tmp_path, {"training": [["seed=1"]], "checkpoint": ["y"]}, [])
    kinds = ["clean_confusion", "clean_worst_1_x"]
    assert list(figures([one, other], 9)) == [f"seed-{seed}_{kind}" for seed in (0, 1) for kind in kinds]
