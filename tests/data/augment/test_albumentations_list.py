from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from segkit.data.augment import AlbumentationsList, Key
from segkit.data.picture_input import PictureInput
from segkit.errors import UserError

SHAPE = (32, 64)
CONF = Path(__file__).resolve().parents[3] / "conf/augment"


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A picture that shows its own label: class 1 is white on dark, class 2 grey."""
    label = np.zeros(SHAPE, np.uint8)
    label[10:30, 12:40] = 1
    label[4:16, 44:60] = 2
    image = np.array([20, 235, 128], np.uint8)[label]
    return np.dstack([image] * 3), label


FLIP = [{"name": "HorizontalFlip", "p": 0.5}]
GEOMETRIC = [
    *FLIP,
    {"name": "RandomScale", "scale_limit": [-0.2, 0.4], "p": 1.0},
    {"name": "PadIfNeeded", "min_height": 32, "min_width": 64, "position": "random", "p": 1.0},
    {"name": "RandomCrop", "height": 32, "width": 64, "p": 1.0},
]
SHIPPED = OmegaConf.to_container(OmegaConf.load(CONF / "albumentations.yaml"))["transforms"]


def applied(transforms: list[dict[str, Any]], resize: Any = "image_shape", shape: tuple[int, int] = SHAPE) -> Any:
    """(image, label, key) -> (image, label) of a list that is ready."""
    listed = AlbumentationsList(transforms)
    listed.prepare(PictureInput.of(shape, resize), [], 1)

    def apply(image: np.ndarray, label: np.ndarray, key: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        return listed(lambda number: np.dstack([image, label]), Key(*key))

    return apply


def test_an_empty_list_changes_nothing():
    image, label = scene()
    same_image, same_label = applied([])(image, label, (0, 0, 0))
    np.testing.assert_array_equal(same_image, image)
    np.testing.assert_array_equal(same_label, label)


def test_flip_mirrors_picture_and_label_together_in_about_half_the_cases():
    image, label = scene()
    augmentation = applied(FLIP)
    flipped = 0
    for index in range(200):
        changed, mask = augmentation(image, label, (0, 0, index))
        mirrored = not np.array_equal(changed, image)
        flipped += mirrored
        np.testing.assert_array_equal(changed, image[:, ::-1] if mirrored else image)
        np.testing.assert_array_equal(mask, label[:, ::-1] if mirrored else label)
    assert 70 < flipped < 130


def test_geometric_changes_keep_labels_on_their_pixels_and_padding_is_unscored():
    image, label = scene()
    augmentation = applied(GEOMETRIC)
    padded = 0
    for index in range(100):
        changed, mask = augmentation(image, label, (0, 0, index))
        assert changed.shape == (*SHAPE, 3)
        assert set(np.unique(mask)) <= {0, 1, 2, 255}
        border = (changed == 0).all(-1)
        np.testing.assert_array_equal(mask == 255, border)
        padded += border.any()
        # Away from edges, where the picture is interpolated, brightness tells the class.
        seen = np.select([changed[..., 0] > 230, abs(changed[..., 0].astype(int) - 128) < 5], [1, 2], 0)
        assert (seen == mask)[~border].mean() > 0.9
    assert 10 < padded < 90


@pytest.mark.parametrize("transforms", [FLIP, GEOMETRIC, SHIPPED])
def test_the_key_alone_determines_the_result(transforms):
    image, label = scene()
    first = applied(transforms)
    second = applied(transforms)
    for index in (5, 3, 5, 1):
        second(image, label, (0, 9, index))
    forward = [first(image, label, (0, 1, index)) for index in range(12)]
    backward = [second(image, label, (0, 1, index)) for index in reversed(range(12))][::-1]
    for (a, b), (c, d) in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    assert len({changed.tobytes() for changed, _ in forward}) > 1


@pytest.mark.parametrize(
    "transform",
    [
        {"name": "RandomShadow"},
        {"name": "RandomRain"},
        {"name": "RandomFog"},
        {"name": "GaussNoise"},
        {"name": "ISONoise"},
        {"name": "Spatter"},
        {"name": "Superpixels"},
        {"name": "ElasticTransform"},
        {"name": "CoarseDropout", "fill": "random"},
        {"name": "PixelDropout"},
        {"name": "ColorJitter"},
        {"name": "MotionBlur"},
        {"name": "GridDistortion"},
    ],
    ids=lambda transform: transform["name"],
)
def test_transforms_draw_from_no_other_source_of_randomness(transform):
    image, label = scene()
    first, second = (applied([transform | {"p": 1.0}]) for _ in range(2))
    results = []
    for index in range(4):
        np.random.seed(index)
        a, b = first(image, label, (0, 3, index))
        np.random.seed(99)
        c, d = second(image, label, (0, 3, index))
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
        results.append(a.tobytes())
    assert len(set(results)) > 1


def test_transforms_decide_independently_of_each_other():
    """With a generator of the same seed for each transform, both flips would always come together."""
    image, label = scene()
    both = [{"name": "HorizontalFlip", "p": 0.5}, {"name": "VerticalFlip", "p": 0.5}]
    augmentation = applied(both)
    kinds = {"": image, "h": image[:, ::-1], "v": image[::-1], "hv": image[::-1, ::-1]}
    seen = {k: 0 for k in kinds}
    for index in range(200):
        changed, _ = augmentation(image, label, (0, 0, index))
        seen[next(k for k, expected in kinds.items() if np.array_equal(changed, expected))] += 1
    assert min(seen.values()) > 25


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([{"name": "HorizontalFlip"}, {"name": "Flop"}], r"augment\.transforms\[1\].*Flop.*HorizontalFlip.*Rotate"),
        ([{"p": 0.5}], r"augment\.transforms\[0\].*name=None"),
        ([{"name": "Compose"}], r"augment\.transforms\[0\].*Compose"),
        ([{"name": "PadIfNeeded", "value": 0, "mask_value": 255}], r"\[0\].*no argument value, mask_value.*fill_mask"),
        ([{"name": "RandomScale", "scale_limit": "much"}], r"\[0\]: RandomScale: scale_limit"),
        ([{"name": "HorizontalFlip", "p": "often"}], r"\[0\]: HorizontalFlip: p: "),
        ([{"name": "HorizontalFlip", "p": 0.5, "axis": 1}], r"\[0\]: HorizontalFlip has no argument axis"),
        ([{"name": "HorizontalFlip", "p": 3}], r"\[0\]: HorizontalFlip: p: .*less than or equal to 1"),
        ([{"name": "RandomCrop"}], r"\[0\]: RandomCrop: height: Field required"),
        ([{"name": "Rotate", "fill_mask": 0}], r"\[0\]: fill_mask=0"),
        ([{"name": "Rotate", "mask_interpolation": 1}], r"\[0\]: mask_interpolation=1"),
        ([{"name": "RandomScale", "p": 1.0}], r"data\.image_shape=\[32, 64\]"),
        ([{"name": "RandomScale", "p": 0.1}], r"data\.image_shape=\[32, 64\]"),
        ([{"name": "RandomCrop", "height": 640, "width": 64, "p": 1.0}], r"augment\.transforms fails"),
        ([{"name": "Normalize", "p": 1.0}], "uint8"),
        ([{"name": "MaskDropout", "fill_mask": 7}], r"fill_mask=7"),
    ],
)
def test_mistakes_name_the_setting_and_what_would_be_right(transforms, message):
    with pytest.raises(UserError, match=message):
        applied(transforms)


def test_crops_come_after_the_list_which_may_change_the_size():
    image, label = np.full((20, 30, 3), 9, np.uint8), np.ones((20, 30), np.uint8)
    halved = applied([{"name": "Resize", "height": 10, "width": 15, "p": 1.0}], None, (16, 16))
    changed, mask = halved(image, label, (0, 0, 0))
    assert (changed.shape, mask.shape) == ((16, 16, 3), (16, 16))
    assert (mask == 1).sum() == 150
    np.testing.assert_array_equal(mask == 255, (changed == 0).all(-1))
