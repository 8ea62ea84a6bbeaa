"""The band around boundaries, against a picture drawn by hand and against the definition, pixel by pixel."""

import numpy as np
import pytest

from segkit.metrics.trimap import trimap


def test_the_band_is_as_wide_as_it_says_on_each_side_of_a_boundary() -> None:
    label = np.zeros((4, 12), np.uint8)
    label[:, 6:] = 1
    assert (trimap(label) == [[255, 255, 255, 0, 0, 0, 1, 1, 1, 255, 255, 255]]).all()
    assert (trimap(label, width=1) == [[255] * 5 + [0, 1] + [255] * 5]).all()


def test_the_band_reaches_as_far_diagonally() -> None:
    label = np.zeros((9, 9), np.uint8)
    label[4, 4] = 2
    near = trimap(label)
    assert (near[1:8, 1:8] != 255).all()
    assert (near != 255).sum() == 49


def test_unscored_pixels_make_no_boundary_and_are_in_no_band() -> None:
    label = np.array([[0] * 8 + [255, 255] + [0] * 8 + [255] * 4 + [1] * 4], np.uint8)
    assert (trimap(label) == 255).all()  # the nearest other scored class is 5 pixels away
    label = np.array([[1, 1, 1, 1, 255, 255, 2, 2, 2, 2]], np.uint8)
    assert trimap(label).tolist() == [[255, 255, 255, 1, 255, 255, 2, 255, 255, 255]]


def test_one_class_has_no_boundary_not_even_with_the_pictures_edge() -> None:
    for value in (0, 3, 255):
        assert (trimap(np.full((5, 7), value, np.uint8)) == 255).all()


@pytest.mark.parametrize("width", [1, 3])
def test_equals_the_definition(width: int) -> None:
    rng = np.random.default_rng(width)
    label = rng.choice(np.array([0, 1, 5, 255], np.uint8), (6, 8)).repeat(4, 0).repeat(3, 1)
    kept = label.copy()
    expected = np.full_like(label, 255)
    for (row, column), value in np.ndenumerate(label):
        window = label[max(0, row - width) : row + width + 1, max(0, column - width) : column + width + 1]
        if value != 255 and ((window != value) & (window != 255)).any():
            expected[row, column] = value
    assert np.array_equal(trimap(label, width), expected)
    assert np.array_equal(label, kept)
