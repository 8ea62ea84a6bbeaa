"""The confusion matrix and the worst pictures as figures: what they show, and which are kept."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segkit.data.records import Record, SegmentationClass
from segkit.evaluation.figure_files import worst, write_figures
from segkit.evaluation.figures import ERROR, confusion_figure, error_figure
from segkit.metrics.benchmark import Scored
from segkit.metrics.class_evaluation import ClassEvaluation, PictureScore

CLASSES = (
    SegmentationClass("background", None, background=True),
    SegmentationClass("road", (0, 255, 0)),
    SegmentationClass("car", (0, 0, 255)),
)
IMAGE = np.full((30, 40, 3), 200, np.uint8)


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in np.unique(picture.reshape(-1, 3), axis=0).tolist()}


@pytest.mark.parametrize("classes", [2, 11, 19])
def test_the_confusion_matrix_is_dark_on_its_diagonal_and_grey_where_no_label_holds_the_class(classes: int) -> None:
    names = [f"class {number}" for number in range(classes)]
    matrix = 7 * torch.eye(classes, dtype=torch.int64)
    matrix[0, 0] = 0

    def share(picture: np.ndarray, colour: tuple[int, int, int]) -> float:
        return float((picture == colour).all(-1).mean())

    whole = confusion_figure(7 * torch.eye(classes, dtype=torch.int64), names, "title")
    lacking = confusion_figure(matrix, names, "title")
    darkest, grey = (8, 48, 107), (221, 221, 221)
    cell = 0.4 / classes**2  # of the picture, at least
    assert share(whole, darkest) - share(lacking, darkest) > cell / 2  # a number stands in it
    assert share(lacking, grey) - share(whole, grey) > classes * cell


def test_rows_are_shares_of_the_true_class() -> None:
    few, many = torch.tensor([[1, 3], [0, 5]]), torch.tensor([[100, 300], [0, 5]])
    assert np.array_equal(*(confusion_figure(matrix, ["a", "b"], "title") for matrix in (few, many)))
    assert not np.array_equal(confusion_figure(few, ["a", "b"], ""), confusion_figure(few.T, ["a", "b"], ""))


def test_errors_are_painted_where_scored_pixels_are_wrong() -> None:
    label = np.zeros((30, 40), np.uint8)
    label[:, 20:] = 1
    label[:, 35:] = 255
    right = colours(error_figure(IMAGE, label, label % 255, CLASSES, "title"))
    assert {(0, 255, 0), (0, 0, 0), (90, 90, 90), (200, 200, 200), (50, 50, 50)} <= right
    assert (0, 0, 255) not in right
    figure = error_figure(IMAGE, label, np.full_like(label, 2), CLASSES, "title")
    assert (0, 0, 255) in colours(figure)
    height, width = figure.shape[:2]

    def of_errors(picture: np.ndarray) -> float:
        """The share of the lower right quarter, without its legend, that is painted as wrong."""
        return float((picture[height // 2 : height * 9 // 10, width // 2 :] == ERROR).all(-1).mean())

    assert of_errors(figure) > 0.5
    assert of_errors(error_figure(IMAGE, label, np.where(label == 255, 2, label), CLASSES, "title")) == 0


def test_the_worst_come_first_and_unscored_pictures_not_at_all() -> None:
    scores = {"a": 0.5, "b": 0.1, "c": 0.5, "d": float("nan"), "e": 0.9}
    pictures = [PictureScore(name, "", score, 1.0) for name, score in reversed(scores.items())]
    assert [picture.name for picture in worst(pictures, 3)] == ["b", "a", "c"]
    assert [picture.name for picture in worst(pictures, 9)] == ["b", "a", "c", "e"]


def test_of_neighbouring_frames_the_worst_one_is_shown() -> None:
    drives = [("a", i, 0.1 + abs(i - 20) / 100) for i in range(40)] + [("b", i, 0.3 + i / 100) for i in range(3)]
    pictures = [PictureScore(f"{drive}{i:02}", drive, iou, 0.5) for drive, i, iou in drives]
    assert [picture.name for picture in worst(pictures, 3)] == ["a20", "a10", "a30"]
    assert [picture.name for picture in worst(pictures, 4)] == ["a20", "a10", "a30", "b00"]
    few = [picture for picture in pictures if picture.group == "b"]
    assert [picture.name for picture in worst(few, 2)] == ["b00", "b01"]


def test_the_files_of_an_evaluation(tmp_path: Path) -> None:
    label = np.ones((30, 40), np.uint8)
    evaluation = ClassEvaluation(CLASSES)
    predictions = {}
    for number in range(6):
        predicted = label.copy()
        predicted[: 5 * number] = 2
        predictions[f"p{number}"] = predicted
        record = Record(f"p{number}", "", Path(), Path())
        evaluation.add(record, torch.from_numpy(predicted).long(), torch.from_numpy(label), torch.from_numpy(label))
    scored = Scored(None, evaluation, lambda record: 1 / 0, lambda record: (IMAGE, predictions[record.name], label))
    mine, before = tmp_path / "figures" / "clean" / "mine.png", tmp_path / "figures" / "fog_3" / "worst_1_x.png"
    for path in (mine, before):
        path.parent.mkdir(parents=True)
        path.touch()
    write_figures(tmp_path, {"clean": scored, "shadow 3": scored})
    names = ["confusion.png", "worst_1_p5.png", "worst_2_p4.png", "worst_3_p3.png", "worst_4_p2.png"]
    for condition in ("clean", "shadow_3"):
        folder = tmp_path / "figures" / condition
        assert sorted(path.name for path in folder.glob("[!m]*.png")) == names
        for name in names:
            assert cv2.imread(str(folder / name)).std() > 20
    assert mine.exists()
    assert not before.exists()
