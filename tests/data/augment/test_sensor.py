import numpy as np
import pytest
import torch
from torchvision.transforms.functional import gaussian_blur

from segkit.data.augment.sensor import add_noise, blurred, normal_numbers, radius, taps


def test_blur_is_a_gaussian_of_its_standard_deviation() -> None:
    image = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0)) * 255
    weights = torch.from_numpy(taps(np.array([0.8, 1.5]), 3)).float()
    found = blurred(image.clone(), weights)
    for one, sigma in ((0, 0.8), (1, 1.5)):
        expected = gaussian_blur(image[one], [7, 7], [sigma, sigma])
        torch.testing.assert_close(found[one][:, 3:-3, 3:-3], expected[:, 3:-3, 3:-3])


def test_no_blur_leaves_a_picture_as_it_is_beside_blurred_ones() -> None:
    image = torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(0)) * 255
    found = blurred(image.clone(), torch.from_numpy(taps(np.array([0.0, 1.0]), 2)).float())
    assert torch.equal(found[0], image[0])
    assert not torch.equal(found[1], image[1])


def test_blur_keeps_the_light_and_continues_the_edge() -> None:
    image = torch.full((1, 3, 6, 6), 200.0)
    found = blurred(image, torch.from_numpy(taps(np.array([1.0]), radius(1.0))).float())
    torch.testing.assert_close(found, torch.full((1, 3, 6, 6), 200.0))


def test_noise_has_its_standard_deviation_and_other_places_give_other_noise() -> None:
    starts = np.random.default_rng(0).random((3, 3))
    found = add_noise(torch.full((3, 3, 64, 96), 100.0), torch.tensor([0.0, 5.0, 20.0]), starts) - 100
    assert (found[0] == 0).all()
    for one, std in ((1, 5.0), (2, 20.0)):
        assert found[one].std().item() == pytest.approx(std, rel=0.03)
        assert abs(found[one].mean().item()) < 0.03 * std
    related = torch.corrcoef(torch.cat([found[1].flatten(1), found[2].flatten(1)])) - torch.eye(6)
    assert related.abs().max() < 0.05


def test_the_table_of_noise_is_always_the_same() -> None:
    first = normal_numbers(1000, torch.device("cpu")).clone()
    normal_numbers.cache_clear()
    assert torch.equal(normal_numbers(1000, torch.device("cpu")), first)
