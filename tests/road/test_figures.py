from math import nan

import numpy as np
import pytest
import torch

from segkit.road.figure_files import chosen
from segkit.road.figures import CURVES, FALSE_NEGATIVE, FALSE_POSITIVE, error_picture
from segkit.road.figures import precision_recall_figure as curve_figure


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grey picture of five bands: found, missed, wrongly called road, rightly not road, unscored but called road."""
    image = np.full((50, 700, 3), 100, np.uint8)
    label = np.repeat(np.array([1, 1, 0, 0, 255], np.uint8), 10)[:, None].repeat(700, 1)
    positive = np.repeat(np.array([True, False, True, False, True]), 10)[:, None].repeat(700, 1)
    return image, positive, label


def test_errors_have_their_colours_and_the_rest_is_known_by_its_shade(scene):
    image, positive, label = scene
    picture = error_picture(image, positive, label, "um_000000")
    assert picture.dtype == np.uint8
    found, missed, wrong, right, unscored = picture[-50:][[5, 15, 25, 35, 45]].astype(int)
    for band in (found, missed, wrong, right, unscored):
        assert (band == band[0]).all()
    np.testing.assert_array_equal(right[0], [100, 100, 100])
    np.testing.assert_array_equal(unscored[0], [40, 40, 40])
    np.testing.assert_allclose(missed[0], 35 + 0.65 * np.array(FALSE_NEGATIVE), atol=1)
    np.testing.assert_allclose(wrong[0], 35 + 0.65 * np.array(FALSE_POSITIVE), atol=1)
    red, green, blue = found[0]
    assert green > blue > red
    assert abs(found[0] - 100).max() < 30
    assert (image == 100).all()


@pytest.mark.parametrize("shape", [(375, 1242), (800, 400), (300, 250), (40, 120), (6, 5)])
def test_the_strip_with_caption_and_legend_is_as_wide_as_the_picture(shape):
    image = np.zeros((*shape, 3), np.uint8)
    nothing = np.zeros(shape, bool)
    label = np.zeros(shape, np.uint8)
    named, unnamed = (error_picture(image, nothing, label, caption) for caption in ("umm_000012  F1 98.7", ""))
    strip = named[: -shape[0]]
    assert strip.shape[1:] == (shape[1], 3)
    assert 0 < len(strip) < 60
    if shape[1] >= 250:
        for colour in (FALSE_POSITIVE, FALSE_NEGATIVE):
            assert (strip == colour).all(-1).sum() > 30
        # Nothing is cut off at the right: beyond the last letter is black. The caption stands in the upper left.
        assert not strip[:, -5:].any()
        assert strip[:20, :100].any()
        assert not unnamed[:20, :100].any()


def test_a_long_caption_is_made_to_fit():
    picture = error_picture(
        np.zeros((800, 400, 3), np.uint8), *(np.zeros((800, 400), t) for t in (bool, np.uint8)), "W" * 50
    )
    strip = picture[:-800]
    assert strip[:, 350:390].any()
    assert not strip[:, -4:].any()


def counts(road: dict[int, int], other: dict[int, int]) -> torch.Tensor:
    table = torch.zeros(2, 256, dtype=torch.int64)
    for row, values in enumerate((other, road)):
        for confidence, pixels in values.items():
            table[row, confidence] = pixels
    return table


def pixels_of(picture: np.ndarray, colour: str) -> int:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(picture.astype(int) - wanted).max(-1) <= 2).sum())


def test_curves_are_drawn_in_their_colours_and_corrupted_ones_beside_them():
    good = counts({255: 80, 100: 20}, {0: 90, 100: 10})
    worse = counts({255: 40, 100: 60}, {0: 50, 100: 50})
    empty = counts({}, {0: 10})
    figure = curve_figure({"UM_ROAD": good, "UU_ROAD": empty, "URBAN_ROAD": good}, "In the picture")
    assert figure.shape == (600, 800, 3)
    assert figure.dtype == np.uint8
    assert pixels_of(figure, CURVES[0]) > 0
    # The one without road has its line in the legend alone.
    assert 0 < pixels_of(figure, CURVES[1]) < pixels_of(figure, CURVES[2])
    both = curve_figure({"UM_ROAD": good}, "In the picture", {"UM_ROAD": worse})
    alone = curve_figure({"UM_ROAD": good}, "In the picture")
    assert pixels_of(both, CURVES[0]) > 1.2 * pixels_of(alone, CURVES[0])


def test_the_curve_and_its_working_point_lie_where_precision_and_recall_say():
    # Recall 50 % at precision 100 %, then 100 % at 50 %: F1 is 2/3 at both, and the lower threshold is taken.
    figure = curve_figure({"UM_ROAD": counts({200: 50, 100: 50}, {100: 100})}, "t")
    # Axes in pixels: the frame is the longest dark line.
    dark = (figure < 60).all(-1)
    columns, rows = np.flatnonzero(dark.sum(0) > 400), np.flatnonzero(dark.sum(1) > 400)
    left, right, top, bottom = columns.min(), columns.max(), rows.min(), rows.max()

    def at(recall: float, precision: float) -> np.ndarray:
        x = round(left + (right - left) * recall / 101)
        y = round(bottom - (bottom - top) * precision / 101)
        return figure[y - 1 : y + 2, x - 1 : x + 2]

    assert pixels_of(at(75, 75), CURVES[0]) > 0
    assert pixels_of(at(50, 75), CURVES[0]) == 0
    assert pixels_of(at(100, 50), CURVES[0]) == 9
    assert pixels_of(at(50, 100), CURVES[0]) < 9


def test_best_and_worst_are_in_order_and_never_the_same():
    f1 = {"a": 50.0, "b": 90.0, "c": nan, "d": 70.0, "e": 10.0, "f": 90.0}
    assert chosen(f1, 2) == (["b", "f"], ["e", "a"])
    assert chosen(f1, 9) == (["b", "f", "d"], ["e", "a"])
    assert chosen({"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}, 1) == (["a"], ["b"])
    assert chosen({"x": 5.0}, 3) == (["x"], [])
    assert chosen({"x": nan}, 3) == ([], [])
