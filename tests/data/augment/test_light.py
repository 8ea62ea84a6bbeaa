import numpy as np
import pytest
import torch

from segkit.data.augment.light import curves, saturated, through_curves


def one(brightness: float = 1, contrast: float = 1, gamma: float = 1, gains: tuple[float, ...] = (1, 1, 1)):
    return curves(np.array([brightness]), np.array([contrast]), np.array([gamma]), np.array([gains]))[0]


def test_factors_of_one_change_nothing() -> None:
    np.testing.assert_allclose(one(), np.tile(np.arange(256), (3, 1)), atol=1e-9)


def test_brightness_multiplies_and_white_is_the_end() -> None:
    np.testing.assert_allclose(one(brightness=1.5)[0, [0, 100, 200]], [0, 150, 255])


def test_a_cast_multiplies_each_channel_alone() -> None:
    np.testing.assert_allclose(one(brightness=0.5, gains=(1, 2, 0.5))[:, 100], [50, 100, 25])


def test_gamma_is_the_exponent() -> None:
    np.testing.assert_allclose(one(gamma=2)[0, [0, 51, 255]], [0, 255 / 25, 255])


def test_contrast_is_the_slope_at_middle_grey_and_black_and_white_stay() -> None:
    steep = one(contrast=2)[0]
    # 0.2² / (0.2² + 0.8²) = 0.04 / 0.68
    np.testing.assert_allclose(steep[[0, 51, 255]], [0, 255 * 0.04 / 0.68, 255])
    assert steep[128] - steep[127] == pytest.approx(2, abs=0.01)
    flat = one(contrast=0.5)[0]
    assert flat[128] - flat[127] == pytest.approx(0.5, abs=0.01)


def test_gamma_comes_before_contrast_and_contrast_before_brightness() -> None:
    value = (51 / 255) ** 2
    value = value**1.5 / (value**1.5 + (1 - value) ** 1.5)
    assert one(brightness=1.2, contrast=1.5, gamma=2)[1, 51] == pytest.approx(255 * 1.2 * value)


def test_each_picture_and_channel_has_a_curve_of_its_own() -> None:
    image = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    tables = torch.rand(2, 3, 256, generator=torch.Generator().manual_seed(1))
    found = through_curves(image.contiguous(memory_format=torch.channels_last), tables)
    for picture in range(2):
        for channel in range(3):
            assert torch.equal(found[picture, channel], tables[picture, channel][image[picture, channel].long()])


def test_saturation_moves_each_pixel_away_from_its_grey() -> None:
    image = torch.tensor([100.0, 50.0, 200.0]).view(1, 3, 1, 1).repeat(3, 1, 1, 1)
    grey = 0.299 * 100 + 0.587 * 50 + 0.114 * 200
    found = saturated(image, torch.tensor([1.0, 0.0, 1.5])).flatten(1)
    torch.testing.assert_close(found[0], torch.tensor([100.0, 50.0, 200.0]))
    torch.testing.assert_close(found[1], torch.full((3,), grey))
    torch.testing.assert_close(found[2], torch.tensor([grey + 1.5 * (value - grey) for value in (100, 50, 200)]))
