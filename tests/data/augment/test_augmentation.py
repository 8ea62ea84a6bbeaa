from collections.abc import Callable

import numpy as np
import pytest
import torch

from segkit.data.augment import Augmentation, Key
from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.errors import UserError

SHAPE = (33, 47)
CLASSES = [SegmentationClass(name, None) for name in ("road", "car", "pole", "sky")]
AMOUNTS = {"rotation": 5.0, "noise": 0.02, "blur": 1.0, "shadow": 0.5}
FACTORS = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.4, "cast": 0.1, "gamma": 0.3}
ALL = AMOUNTS | FACTORS | {"scale": 2.0, "flip": 0.5, "paste": 0.5, "paste_classes": ["car", "pole"], "classmix": 0.5}


def pictures(count: int = 6, shape: tuple[int, int] = SHAPE) -> torch.Tensor:
    """Pictures of four classes; the red of a pixel is 10 times the picture's number plus its class."""
    generator = np.random.default_rng(0)
    blocks = generator.integers(0, 4, (count, 5, 6)).astype(np.uint8)
    label = blocks.repeat(-(-shape[0] // 5), 1).repeat(-(-shape[1] // 6), 2)[:, : shape[0], : shape[1]]
    red = label + 10 * np.arange(1, count + 1, dtype=np.uint8)[:, None, None]
    rest = generator.integers(1, 256, (*label.shape, 2), np.uint8)
    return torch.from_numpy(np.concatenate([red[..., None], rest, label[..., None]], axis=3))


def made(given: torch.Tensor, shape: tuple[int, int] = SHAPE, **settings) -> Augmentation:
    augmentation = Augmentation(**settings)
    resize = tuple(given.shape[1:3])
    augmentation.prepare(PictureInput.of(shape, resize), CLASSES, len(given))
    return augmentation


def single(given: torch.Tensor) -> Callable[[int], np.ndarray]:
    return lambda number: given[number].numpy()


KEYS = [Key(1, epoch, number) for epoch in range(4) for number in range(6)]


@pytest.mark.parametrize("shape", [SHAPE, (20, 60)])
def test_a_sample_depends_on_its_key_alone_whatever_batch_it_is_in(shape: tuple[int, int]) -> None:
    given = pictures()
    augmentation = made(given, shape, **ALL)
    image, label = augmentation.batch(given, KEYS)
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (24, 3, *shape))
    assert image.is_contiguous(memory_format=torch.channels_last)
    other = made(given, shape, **ALL)
    again, again_label = other.batch(given, KEYS[7:2:-1])
    assert torch.equal(again, image[[7, 6, 5, 4, 3]])
    assert torch.equal(again_label, label[[7, 6, 5, 4, 3]])
    for place in (5, 20, 1):
        alone, alone_label = other(single(given), KEYS[place])
        np.testing.assert_array_equal(alone, image[place].permute(1, 2, 0).numpy())
        np.testing.assert_array_equal(alone_label, label[place].numpy())
    assert len({one.numpy().tobytes() for one in image}) == 24


@pytest.mark.parametrize("settings", [{}, ALL | {"strength": 0}])
def test_no_strength_is_the_picture_itself(settings: dict) -> None:
    given = pictures()
    augmentation = made(given, **settings)
    assert augmentation.does_nothing
    image, label = augmentation.batch(given, KEYS[:6])
    assert torch.equal(image, given[..., :3].permute(0, 3, 1, 2))
    assert torch.equal(label, given[..., 3])


@pytest.mark.parametrize("key", [*AMOUNTS, *FACTORS, "scale", "flip", "classmix", "paste"])
def test_each_number_alone_does_something(key: str) -> None:
    given = pictures()
    more = {"paste_classes": ["car", "pole"]} if key == "paste" else {}
    augmentation = made(given, **{key: ALL[key]}, **more)
    assert not augmentation.does_nothing
    image, _ = augmentation.batch(given, KEYS)
    plain, _ = made(given).batch(given, KEYS)
    changed = (image != plain).flatten(1).any(1).sum()
    # Noise and factors touch every picture, blur most of them; mirroring, shadows and pasting about half of them.
    assert changed >= {"flip": 5, "shadow": 5, "classmix": 5, "paste": 5, "blur": 15}.get(key, 23)
    assert changed <= (19 if key in ("flip", "shadow") else 24)


def test_strength_multiplies_amounts_and_is_the_exponent_of_factors() -> None:
    half, twice = Augmentation(**ALL, strength=0.5), Augmentation(**ALL, strength=2)
    assert (half.scale, twice.scale) == (pytest.approx(2**0.5), 4)
    for key in AMOUNTS:
        assert (getattr(half, key), getattr(twice, key)) == (AMOUNTS[key] / 2, AMOUNTS[key] * 2)
    assert Augmentation(shadow=0.6, strength=2).shadow == 1
    for key in FACTORS:
        assert getattr(half, key) == pytest.approx((1 + ALL[key]) ** 0.5)
        assert getattr(twice, key) == pytest.approx((1 + ALL[key]) ** 2)
    for key in ("flip", "paste", "classmix"):
        assert (getattr(half, key), getattr(twice, key)) == (0.25, 0.5)


def test_one_numbers_randomness_does_not_depend_on_the_others() -> None:
    """A recipe without light takes the same crops and pastes the same objects as one with it."""
    given = pictures()
    _, label = made(given, **ALL).batch(given, KEYS)
    _, without = made(given, **ALL | dict.fromkeys([*FACTORS, "noise", "blur", "shadow"], 0)).batch(given, KEYS)
    assert torch.equal(label, without)


def test_pasted_objects_bring_their_labels_and_come_from_one_other_picture() -> None:
    given = pictures()
    image, label = made(given, paste=1.0, paste_classes=["car", "pole"]).batch(given, KEYS)
    red = image[:, 0].int()
    own = torch.tensor([10 * (key.number + 1) for key in KEYS])[:, None, None]
    assert torch.equal(red % 10, label.int())
    foreign = red - label.int() != own
    assert set(label[foreign].tolist()) == {1, 2}
    for one, number in zip((red - label.int()), own.flatten().tolist(), strict=True):
        assert len(set(one.unique().tolist()) - {number}) == 1
    # All of the partner's cars and poles are there, in the places that they have.
    for row, key in enumerate(KEYS):
        (partner,) = set((red - label.int())[row].unique().tolist()) - {10 * (key.number + 1)}
        theirs = given[partner // 10 - 1, ..., 3]
        chosen = (theirs == 1) | (theirs == 2)
        assert torch.equal(foreign[row], chosen)
        assert torch.equal(label[row][chosen], theirs[chosen])
    partners = {int((red - label.int())[row].unique()[0]) for row in range(24)}
    assert len(partners) > 3


def test_the_partner_has_a_geometry_of_its_own() -> None:
    given = pictures()
    image, label = made(given, flip=0.5, paste=1.0, paste_classes=["car"]).batch(given, KEYS)
    sides = set()
    for row, key in enumerate(KEYS):
        origin = image[row, 0].int() - label[row].int()
        (partner,) = set(origin.unique().tolist()) - {10 * (key.number + 1)}
        own, other = (given[number, ..., 3] for number in (key.number, partner // 10 - 1))
        foreign = origin == partner
        mirrored = [torch.equal(foreign, (side == 1)) for side in (other, other.flip(1))]
        kept = [torch.equal(label[row][~foreign], side[~foreign]) for side in (own, own.flip(1))]
        assert sum(mirrored) == sum(kept) == 1
        sides.add((mirrored[1], kept[1]))
    assert len(sides) == 4


def test_labels_and_pixels_are_pasted_together_where_both_pictures_are_resampled() -> None:
    blocks = pictures()
    blocks[..., :3] = (40 + 50 * blocks[..., 3:]).to(torch.uint8)  # each class has its grey
    moved = {"scale": 1.5, "rotation": 5.0, "flip": 0.5}
    image, label = made(blocks, **moved, paste=0.5, paste_classes=["car"], classmix=0.5).batch(blocks, KEYS)
    scored = label != 255
    agree = (image[:, 0].int() - (40 + 50 * label.int())).abs() <= 25
    assert agree[scored].float().mean() > 0.93
    assert torch.equal(~scored, (image == 0).all(1))


def test_classmix_takes_half_of_the_partners_classes() -> None:
    given = pictures()
    image, label = made(given, classmix=1.0).batch(given, KEYS)
    origin = image[:, 0].int() - label.int()
    kinds = set()
    for row, key in enumerate(KEYS):
        foreign = origin[row] != 10 * (key.number + 1)
        kinds.add(tuple(label[row][foreign].unique().tolist()))
    assert {len(kind) for kind in kinds} == {2}
    assert len(kinds) > 3


def test_probabilities_are_how_often() -> None:
    given = pictures()
    keys = [Key(0, epoch, 0) for epoch in range(400)]
    for settings in ({"flip": 0.3}, {"classmix": 0.3}, {"paste": 0.3, "paste_classes": ["car"]}):
        image, _ = made(given, **settings).batch(given, keys)
        changed = (image != given[:1, ..., :3].permute(0, 3, 1, 2)).flatten(1).any(1).float().mean()
        assert 0.22 < changed < 0.38, settings


def test_a_single_picture_has_no_partner() -> None:
    given = pictures(1)
    image, _ = made(given, paste=1.0, paste_classes=["car"], classmix=1.0).batch(given, [Key(0, 0, 0)])
    assert torch.equal(image, given[..., :3].permute(0, 3, 1, 2))


def test_pictures_of_other_sizes_and_a_partner_of_another_one() -> None:
    several = [pictures(1, shape)[0].numpy() for shape in ((30, 70), (50, 40), SHAPE)]
    augmentation = Augmentation(**ALL | {"paste": 1.0})
    augmentation.prepare(PictureInput.of(SHAPE, None), CLASSES, 3)
    for epoch in range(5):
        image, label = augmentation(several.__getitem__, Key(0, epoch, epoch % 3))
        assert (image.shape, label.shape) == ((*SHAPE, 3), SHAPE)
        assert image.flags.c_contiguous
        assert label.flags.c_contiguous


def test_an_unknown_class_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UserError, match=r"paste_classes: there is no class lorry; there are road, car, pole, sky"):
        made(pictures(), paste=0.5, paste_classes=["car", "lorry"])
    with pytest.raises(UserError, match=r"there is no class pool; did you mean pole\? There are road"):
        made(pictures(), paste=0.5, paste_classes=["pool"])


def test_pasting_goes_by_the_classes_that_are_named() -> None:
    assert Augmentation().paste == 0
    assert Augmentation(paste_classes=["car"]).paste == 0.5
    assert Augmentation(paste=0.2, paste_classes=["car"]).paste == 0.2
    assert Augmentation(paste=0, paste_classes=["car"]).paste == 0
    with pytest.raises(UserError, match=r"augment\.paste=0\.2: nothing is pasted without augment\.paste_classes"):
        Augmentation(paste=0.2)


@pytest.mark.parametrize("shape", [SHAPE, (20, 60)])
@pytest.mark.parametrize("settings", [{}, {"flip": 0.5, "classmix": 0.5}, ALL])
def test_nothing_asks_the_device_for_a_value(settings: dict, shape: tuple[int, int]) -> None:
    """On the meta device there are no values: what waits for one, or forgets to send a tensor there, fails."""
    given = pictures().to("meta")
    image, label = made(given, shape, **settings).batch(given, KEYS)
    assert (image.device.type, label.device.type) == ("meta", "meta")
    assert (tuple(image.shape), tuple(label.shape)) == ((24, 3, *shape), (24, *shape))
