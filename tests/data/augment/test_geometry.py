import numpy as np
import pytest
import torch

from segkit.data.augment.geometry import Geometry

MIDDLE = np.full((1, 5), 0.5)
"""Not mirrored where ``flip`` is 0.5, of its own size, upright, in the middle."""


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    """Noise; the label is the picture's red."""
    rgb = np.random.default_rng(0).integers(1, 250, (count, height, width, 3), np.uint8)
    return torch.from_numpy(np.concatenate([rgb, rgb[..., :1]], axis=3))


def plateau(height: int = 60, width: int = 90) -> torch.Tensor:
    """A picture of large areas that shows its own label: value 40, 90, … is class 40, 90, …"""
    label = np.full((height, width), 40, np.uint8)
    label[10:35, 20:50], label[30:50, 60:85] = 90, 200
    return torch.from_numpy(np.dstack([label] * 4))[None]


@pytest.mark.parametrize(("scale", "rotation"), [(1, 0), (2, 0), (1, 5)])
def test_a_mirrored_picture_is_exact_to_the_byte_and_so_is_one_that_stays(scale: float, rotation: float) -> None:
    """Also where it goes through the resampling, by a factor that happens to be 1."""
    given = pictures(2, 21, 34)
    unit = np.repeat(MIDDLE, 2, axis=0)
    unit[1, 0] = 0.4
    image, label = Geometry((21, 34), 0.5, scale, rotation)(given, unit)
    expected = torch.stack([given[0], given[1].flip(1)])
    assert torch.equal(image, expected[..., :3].permute(0, 3, 1, 2))
    assert torch.equal(label, expected[..., 3])


def test_crops_are_from_anywhere_and_smaller_pictures_lie_anywhere_in_the_padding() -> None:
    rows, columns = np.mgrid[1:21, 1:31].astype(np.uint8)
    given = torch.from_numpy(np.dstack([rows, columns, rows, rows]))[None].expand(300, -1, -1, -1)
    image, label = Geometry((8, 40), 0, 1, 0)(given, np.random.default_rng(0).random((300, 5)))
    assert (image.shape, label.shape) == ((300, 3, 8, 40), (300, 8, 40))
    assert torch.equal(label == 255, (image == 0).all(1))
    tops, lefts = set(), set()
    for one, mask in zip(image.numpy(), label.numpy(), strict=True):
        inside = np.flatnonzero(mask[0] != 255)
        np.testing.assert_array_equal(one[1][:, inside], np.broadcast_to(np.arange(1, 31), (8, 30)))
        np.testing.assert_array_equal(mask[:, inside[0]], np.arange(mask[0, inside[0]], mask[0, inside[0]] + 8))
        tops.add(int(mask[0, inside[0]]))
        lefts.add(int(inside[0]))
    assert tops == set(range(1, 14))
    assert lefts == set(range(11))


@pytest.mark.parametrize("shape", [(60, 90), (31, 47), (80, 120)])
@pytest.mark.parametrize(("scale", "rotation"), [(2, 0), (1, 30), (1.5, 10)])
def test_labels_stay_on_their_pixels_and_padding_is_black_and_unscored(
    shape: tuple[int, int], scale: float, rotation: float
) -> None:
    unit = np.random.default_rng(1).random((40, 5))
    image, label = Geometry(shape, 0.5, scale, rotation)(plateau().expand(40, -1, -1, -1), unit)
    assert set(label.unique().tolist()) <= {40, 90, 200, 255}
    assert torch.equal((image == 0).all(1), label == 255)
    seen = (label != 255) & ((image[:, 0].int() - label.int()).abs() <= 1)
    assert seen.sum() > 0.9 * (label != 255).sum()  # but where two areas meet
    assert (label == 255).any()
    assert (label != 255).any(2).any(1).all()


@pytest.mark.parametrize(("unit_scale", "factor"), [(1.0, 2.0), (0.0, 0.5), (0.75, 2**0.5), (0.5, 1.0)])
def test_the_factor_of_the_size_is_drawn_on_a_logarithmic_scale(unit_scale: float, factor: float) -> None:
    given = torch.arange(40, dtype=torch.uint8)[None, None, :, None].expand(1, 40, 40, 4)
    unit = MIDDLE.copy()
    unit[0, 1] = unit_scale
    _, label = Geometry((40, 40), 0, 2, 0)(given, unit)
    # The middle stays where it is.
    expected = 20 + (np.arange(40) + 0.5 - 20) / factor - 0.5
    inside = (expected > -0.5) & (expected < 39.5)
    found = label[0, 20].numpy()
    np.testing.assert_array_equal(found[~inside], 255)
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.501)


def test_a_quarter_turn() -> None:
    given = pictures(1, 33, 33)
    unit = MIDDLE.copy()
    unit[0, 2] = 1.0
    image, label = Geometry((33, 33), 0, 1, 90)(given, unit)
    turned = torch.rot90(given, -1, (1, 2))  # clockwise
    assert torch.equal(image, turned[..., :3].permute(0, 3, 1, 2))
    assert torch.equal(label, turned[..., 3])


def test_between_two_pixels_lies_their_mean() -> None:
    given = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    given[:, :, 2:] = 200
    unit = MIDDLE.copy()
    unit[0, 1] = 1.0
    image, _ = Geometry((8, 8), 0, 2, 0)(given, unit)
    assert image[0, 0, 4].tolist() == [0, 0, 0, 50, 150, 200, 200, 200]


def test_scale_and_place_reach_their_limits() -> None:
    given = plateau(40, 40).clone()
    unit = np.repeat(MIDDLE, 2, axis=0)
    unit[:, 1] = 1.0  # twice the size
    unit[:, 3:] = [[0, 0], [1, 1]]
    ramp = torch.arange(40, dtype=torch.uint8)
    given[..., 3] = ramp[None, :, None]
    _, label = Geometry((40, 40), 0, 2, 0)(given.expand(2, -1, -1, -1), unit)
    assert label[0, :, 0].tolist() == [row // 2 for row in range(40)]
    assert label[1, :, 0].tolist() == [20 + row // 2 for row in range(40)]
