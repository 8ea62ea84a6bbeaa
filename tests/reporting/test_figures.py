from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.reporting.comparison import Comparison, compare
from segkit.reporting.figures import figures, loss_curves, score_by_time, score_by_value
from segkit.runs.find import run_folders
from segkit.runs.read import read_run
from tests.reporting.run_folders import epoch, finished, write_run


def compared(folder: Path) -> Comparison:
    return compare([read_run(path) for path in run_folders(folder)], folder)


@pytest.fixture
def axes() -> Axes:
    return Figure().add_subplot()


def dots(axes: Axes) -> list[tuple[float, float]]:
    return sorted((round(float(x), 9), round(float(y), 9)) for x, y in np.asarray(axes.collections[0].get_offsets()))


def test_every_swept_setting_has_a_figure(tmp_path: Path) -> None:
    for i, (rate, encoder) in enumerate(((1e-5, "vgg16"), (1e-3, "vgg16_bn"))):
        write_run(tmp_path / str(i), finished(0.5 + i / 10), model__learning_rate=rate, model__encoder=encoder)
    drawn = figures(compared(tmp_path))
    assert figures(compared(tmp_path)) == drawn  # to the byte, so that an entry made again is no change
    assert sorted(drawn) == ["loss_curves", "score_encoder", "score_learning_rate", "score_time"]
    for png in drawn.values():
        assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape == (550, 880, 3)


def test_a_sweep_without_a_score_yet_has_no_figures(tmp_path: Path) -> None:
    for i in range(2):
        write_run(tmp_path / str(i), None, seed=i)
    assert figures(compared(tmp_path)) == {}


def test_scores_over_a_number(tmp_path: Path, axes: Axes) -> None:
    found = [(1e-5, 0.5), (1e-5, 0.7), (1e-5, 0.6), (1e-3, 0.9), (1e-3, 0.8)]
    for i, (rate, iou) in enumerate(found):
        write_run(tmp_path / str(i), finished(iou), model__learning_rate=rate)
    write_run(tmp_path / "5", {"status": "running", "epochs": [epoch(1, 0.1, iou=0.1)]}, model__learning_rate=1e-3)
    comparison = compared(tmp_path)
    score_by_value(comparison, "model.learning_rate", comparison.rows, axes)
    assert axes.get_xscale() == "log"  # 1e-3 is more than 20 times 1e-5
    assert dots(axes) == sorted([*found, (1e-3, 0.1)])
    hollow = [tuple(face[:3]) == (1, 1, 1) for face in axes.collections[0].get_facecolors()]  # type: ignore[attr-defined]
    assert sum(hollow) == 1
    (line,) = axes.get_lines()
    assert np.allclose(line.get_xydata(), [[1e-5, 0.6], [1e-3, 0.85]])  # medians of what has finished
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1e-5", "0.001"]


def test_scores_over_what_is_no_number(tmp_path: Path, axes: Axes) -> None:
    shapes: list[Any] = [[256, 832], [160, 576], [160, 576]]
    for i, shape in enumerate(shapes):
        write_run(tmp_path / str(i), finished(0.5 + i / 10), data__image_shape=shape)
    comparison = compared(tmp_path)
    score_by_value(comparison, "data.image_shape", comparison.rows, axes)
    assert axes.get_xscale() == "linear"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["160×576", "256×832"]
    assert dots(axes) == [(0, 0.6), (0, 0.7), (1, 0.5)]


def test_loss_curves(tmp_path: Path, axes: Axes) -> None:
    diverged = [epoch(1, 0.5), epoch(2, 1e6), epoch(3, None)]
    write_run(tmp_path / "0", finished(0.9))
    write_run(tmp_path / "1", {"status": "failed", "reason": "nan", "epochs": diverged}, seed=1)
    comparison = compared(tmp_path)
    loss_curves(comparison, comparison.singles, axes)
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    assert np.allclose(lines["seed=0"].get_xydata(), [[1, 1], [2, 1 / 2], [3, 1 / 3], [4, 1 / 4]])
    assert np.allclose(lines["seed=1"].get_xydata(), [[1, 0.5], [2, 1e6]])
    assert (lines["seed=0"].get_linestyle(), lines["seed=1"].get_linestyle()) == ("-", "--")
    assert axes.get_yscale() == "log"
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["seed=0", "seed=1"]


def test_many_curves_have_no_legend(tmp_path: Path, axes: Axes) -> None:
    for i in range(9):
        write_run(tmp_path / str(i), finished(0.5 + i / 100), seed=i)
    comparison = compared(tmp_path)
    loss_curves(comparison, comparison.singles, axes)
    assert axes.figure.legends == []
    brightness = [sum(line.get_color()[:3]) for line in axes.get_lines()]
    assert brightness == sorted(brightness, reverse=True)  # the best ones come last, on top, and are the darkest


def test_scores_over_time_are_labelled_by_rank(tmp_path: Path, axes: Axes) -> None:
    for i, (iou, fit) in enumerate(((0.5, 10.0), (0.7, 500.0))):
        write_run(tmp_path / str(i), finished(iou, fit=fit), seed=i)
    comparison = compared(tmp_path)
    score_by_time(comparison, comparison.rows, axes)
    assert dots(axes) == [(10, 0.5), (500, 0.7)]
    assert axes.get_xscale() == "log"
    assert {text.get_text(): text.xy for text in axes.texts} == {"1": (500, 0.7), "2": (10, 0.5)}  # type: ignore[attr-defined]
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["1  seed=1", "2  seed=0"]
