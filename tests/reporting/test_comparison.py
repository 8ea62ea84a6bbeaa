import json
import logging
from pathlib import Path

import pytest

from segkit.reporting.comparison import Comparison, compare
from segkit.runs.find import run_folders
from segkit.runs.read import read_run
from tests.reporting.run_folders import epoch, finished, write_run


def compared(folder: Path) -> Comparison:
    return compare([read_run(path) for path in run_folders(folder)], folder)


def order(comparison: Comparison) -> list[str]:
    return [comparison.place(row) for row in comparison.rows]


def test_the_best_row_comes_first_and_those_without_a_score_last(tmp_path: Path) -> None:
    write_run(tmp_path / "a", finished(0.7))
    write_run(tmp_path / "b", {"status": "failed", "reason": "no", "epochs": []}, seed=1)
    write_run(tmp_path / "c", {"status": "pruned", "epochs": [epoch(1, 0.5, iou=0.8)]}, seed=2)
    write_run(tmp_path / "d", finished(0.9), seed=3)
    write_run(tmp_path / "e", finished(0.5) | {"scores": {"iou": None}}, seed=4)
    found = compared(tmp_path)
    assert order(found) == ["d", "c", "a", "b", "e"]
    assert [found.label(row) for row in found.rows[:2]] == ["seed=3", "seed=2"]
    assert [found.place(row) for row in found.best_and_worst()] == ["d", "a"]


def test_the_lowest_loss_is_the_best(tmp_path: Path) -> None:
    for name, iou in (("a", 0.7), ("b", 0.9), ("c", 0.8)):
        write_run(tmp_path / name, finished(iou) | {"scores": {"loss": iou, "iou": iou}}, trainer__monitor="val/loss")
    write_run(tmp_path / "0", {"status": "failed", "reason": "no", "epochs": []}, trainer__monitor="val/loss")
    assert order(compared(tmp_path)) == ["a", "c", "b", "0"]


def test_runs_of_different_monitors_are_ranked_by_the_first_ones(tmp_path: Path) -> None:
    write_run(tmp_path / "a", finished(0.7) | {"scores": {"loss": 0.1, "iou": 0.7}})
    write_run(tmp_path / "b", finished(0.9) | {"scores": {"loss": 0.2, "iou": 0.9}}, trainer__monitor="val/loss")
    found = compared(tmp_path)
    assert (found.monitor, order(found)) == ("iou", ["b", "a"])


def test_without_validation_the_mean_loss_ranks(tmp_path: Path) -> None:
    for name, loss in (("a", 0.3), ("b", 0.1)):
        result = finished(0.5) | {"scores": {"mean_loss": loss}, "epochs": [epoch(1, loss)]}
        write_run(tmp_path / name, result, data__split="none")
    found = compared(tmp_path)
    assert (found.monitor, order(found)) == ("mean_loss", ["b", "a"])


def test_runs_that_differ_in_nothing_are_told_by_their_folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, finished(0.5))
    found = compared(tmp_path)
    assert [found.label(row) for row in found.rows] == ["a", "b"]


def write_fold(folder: Path, fold: int, hits: int, missed: int, loss: float = 0.0, rate: float = 1e-4) -> None:
    """A fold whose validation has 10 background pixels, all right, and ``hits`` + ``missed`` of road."""
    result = finished(hits / (hits + missed)) | {"scores": {"iou": hits / (hits + missed), "loss": loss}}
    write_run(folder, result, data__split="fold", data__fold=fold, model__learning_rate=rate)
    classes = {"names": ["background", "road"], "painted": ["road"], "pixels": [[10, 0], [missed, hits]]}
    (folder / "counts.json").write_text(json.dumps({"classes": classes}))


def test_folds_are_pooled_by_their_counts(tmp_path: Path) -> None:
    # One of 10 road pixels is found in the first fold, all 90 of the others' four: 91 of 100, not the mean 0.82.
    write_fold(tmp_path / "0", 0, hits=1, missed=9, loss=1.0)
    for fold in range(1, 5):
        write_fold(tmp_path / str(fold), fold, hits=[30, 20, 20, 20][fold - 1], missed=0)
    found = compared(tmp_path)
    (row,) = found.rows
    assert row.scores["iou"] == pytest.approx(0.91)
    assert row.scores["accuracy"] == pytest.approx(141 / 150)
    assert row.scores["iou/background"] == pytest.approx(50 / 59)
    assert row.scores["loss"] == pytest.approx(20 * 1.0 / 150)  # each fold weighs as many pixels as it has
    assert (row.status, row.finished, row.seconds) == ("finished", True, 300.0)
    assert found.label(row) == "pooled over folds 0…4"
    assert [single.values["data.fold"] for single in found.folds] == [1, 2, 3, 4, 0]


def test_missing_folds_are_said(tmp_path: Path) -> None:
    for fold in (0, 1, 3):
        write_fold(tmp_path / str(fold), fold, hits=10, missed=10)
    write_run(tmp_path / "4", {"status": "running", "epochs": []}, data__split="fold", data__fold=4)
    (row,) = compared(tmp_path).rows
    assert (row.values["data.fold"], row.status) == ("pooled over folds 0, 1, 3", "3 of 5 folds")
    assert row.scores["iou"] == 0.5


def test_each_setting_has_its_own_folds(tmp_path: Path) -> None:
    for fold in range(5):
        write_fold(tmp_path / f"a{fold}", fold, hits=5, missed=5, rate=1e-4)
        write_fold(tmp_path / f"b{fold}", fold, hits=8, missed=2, rate=1e-5)
    write_run(tmp_path / "c", finished(0.7), model__learning_rate=1e-3)
    found = compared(tmp_path)
    assert [found.label(row) for row in found.rows] == [
        "split=fold learning_rate=1e-5 pooled over folds 0…4",
        "split=kittiseg fold=0 learning_rate=0.001",
        "split=fold learning_rate=0.0001 pooled over folds 0…4",
    ]
    assert [row.scores["iou"] for row in found.rows] == [0.8, 0.7, 0.5]
    assert len(found.folds) == 10


def test_two_runs_of_one_fold_are_not_pooled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, fold in (("a", 0), ("b", 1), ("c", 1)):
        write_fold(tmp_path / name, fold, hits=5, missed=5)
    with caplog.at_level(logging.WARNING):
        found = compared(tmp_path)
    assert len(found.rows) == 3
    assert "several of these runs hold out the same fold: a, b, c" in caplog.text


def test_folds_without_counts_stay_single(tmp_path: Path) -> None:
    for fold in range(2):
        write_run(tmp_path / str(fold), finished(0.5 + fold / 10), data__split="fold", data__fold=fold)
    found = compared(tmp_path)
    assert (order(found), found.folds) == (["1", "0"], ())
