"""The confusion matrix and the worst pictures as figures: what they show, and which are kept."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segkit.data.legend import UNSCORED
from segkit.data.overlay import Painter
from segkit.data.records import Record, SegmentationClass
from segkit.evaluation.figure_files import worst, write_figures
from segkit.evaluation.figures import ERROR, LIGHT, confusion_figure, error_figure, error_map
from segkit.metrics.benchmark import Scored
from segkit.metrics.class_evaluation import ClassEvaluation, PictureScore
from tests.colour_vision import SIGHTS, difference, lab

CLASSES = (
    SegmentationClass("background", None, background=True),
    SegmentationClass("road", (0, 255, 0)),
    SegmentationClass("car", (0, 0, 255)),
)
IMAGE = np.full((30, 40, 3), 200, np.uint8)


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    numbers = np.unique(
        picture.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    )  # rows take 100 times as long
    return {(number >> 16, number >> 8 & 255, number & 255) for number in numbers.tolist()}


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
    image = np.full((30, 40, 3), 102, np.uint8)
    label = np.zeros((30, 40), np.uint8)
    label[:, 20:] = 1
    label[:, 35:] = 255
    predicted = label % 255
    predicted[:10, :20] = 1
    shown = error_map(image, label, predicted)
    assert (shown[:10, :20] == ERROR).all()
    right = LIGHT + (255 - LIGHT) * 102 // 255
    assert (shown[10:, :35] == right).all()
    assert (shown[:10, 20:35] == right).all()
    assert colours(shown[:, 35:]) == set(UNSCORED)
    assert (error_map(image, label, np.full_like(label, 2))[:, :35] == ERROR).all()


def test_wrong_right_and_unscored_pixels_differ_to_the_colour_blind() -> None:
    right = [(grey,) * 3 for grey in range(LIGHT, 256)]
    for sight in SIGHTS:
        wrong, stripes, others = (lab(each, sight) for each in (ERROR, UNSCORED, right))
        assert difference(wrong[None], others).min() > 20
        assert difference(wrong[None], stripes).min() > 15
        assert difference(stripes[:1], others).min() > 15  # every other stripe


def test_the_worst_pictures_are_shown_four_times_over_a_legend() -> None:
    label = np.zeros((30, 40), np.uint8)
    label[:, 20:] = 1
    label[:, 35:] = 255
    classes = (*CLASSES[1:], SegmentationClass("sky", (0, 255, 255)))
    painter = Painter(classes, alpha=1.0)
    figure = error_figure(IMAGE, label, label % 255, painter, "title")
    assert figure.shape[1] == 1400
    seen = colours(figure)
    assert {(200, 200, 200), classes[0].colour, classes[1].colour, ERROR, *UNSCORED} <= seen
    assert classes[2].colour not in seen
    blind = Painter(classes, alpha=1.0, colours="colour_blind")
    seen = colours(error_figure(IMAGE, label, label % 255, blind, "title"))
    assert {item.colour for item in blind.class_list[:2]} <= seen
    assert not {item.colour for item in classes} & seen


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
    write_figures(tmp_path, {"clean": scored, "shadow 3": scored}, Painter(CLASSES))
    names = ["confusion.png", "worst_1_p5.png", "worst_2_p4.png", "worst_3_p3.png", "worst_4_p2.png"]
    for condition in ("clean", "shadow_3"):
        folder = tmp_path / "figures" / condition
        assert sorted(path.name for path in folder.glob("[!m]*.png")) == names
        for name in names:
            assert cv2.imread(str(folder / name)).std() > 20
    assert mine.exists()
    assert not before.exists()
