"""Resizing in a graph against OpenCV's, which the network is trained and scored with."""

import numpy as np
import pytest
import torch

from segkit.data.images import resize_image
from segkit.data.picture_input import resized_shape, share_of
from segkit.export.resizing import resize_picture, scaled


def both(size: tuple[int, int], target: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    pictures = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    resized = resize_picture(torch.from_numpy(pictures).permute(0, 3, 1, 2), target).permute(0, 2, 3, 1)
    return resized.numpy(), np.stack([resize_image(picture, target) for picture in pictures])


@pytest.mark.parametrize("target", [(37, 53), (32, 53), (37, 41), (16, 48), (12, 17), (5, 52), (1, 1)])
def test_pictures_that_shrink_get_the_very_grey_levels(target: tuple[int, int]) -> None:
    ours, expected = both((37, 53), target)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("target", [(38, 54), (74, 106), (50, 40), (20, 90), (111, 200)])
def test_others_are_a_level_off_in_one_of_a_hundred_values_at_most(target: tuple[int, int]) -> None:
    ours, expected = both((37, 53), target)
    difference = np.abs(ours.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("factor", [0.1, 0.25, 1 / 3, 0.35, 0.5, 0.75, 1.5])
def test_lengths_are_rounded_as_the_data_module_rounds_them(factor: float) -> None:
    assert [scaled(length, *share_of(factor).as_integer_ratio()) for length in range(1, 500)] == [
        resized_shape((length, 1), factor)[0] for length in range(1, 500)
    ]
