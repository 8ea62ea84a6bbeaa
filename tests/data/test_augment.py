import sys
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from segkit.data.augment import Augmentation
from segkit.errors import UserError

SHAPE = (32, 64)
CONF = Path(__file__).resolve().parents[2] / "conf/augment"


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A picture that shows its own label: class 1 is white on dark, class 2 grey."""
    label = np.zeros(SHAPE, np.uint8)
    label[10:30, 12:40] = 1
    label[4:16, 44:60] = 2
    image = np.array([20, 235, 128], np.uint8)[label]
    return np.dstack([image] * 3), label


def shipped(name: str) -> list[dict]:
    config = OmegaConf.create({"data": {"image_shape": list(SHAPE)}, "augment": OmegaConf.load(CONF / f"{name}.yaml")})
    return OmegaConf.to_container(config, resolve=True)["augment"]["transforms"]


def test_an_empty_list_changes_nothing():
    image, label = scene()
    same_image, same_label = Augmentation(shipped("none"), SHAPE)(image, label, (0, 0, 0))
    np.testing.assert_array_equal(same_image, image)
    np.testing.assert_array_equal(same_label, label)


def test_flip_mirrors_picture_and_label_together_in_about_half_the_cases():
    image, label = scene()
    augmentation = Augmentation(shipped("flip"), SHAPE)
    flipped = 0
    for index in range(200):
        changed, mask = augmentation(image, label, (0, 0, index))
        mirrored = not np.array_equal(changed, image)
        flipped += mirrored
        np.testing.assert_array_equal(changed, image[:, ::-1] if mirrored else image)
        np.testing.assert_array_equal(mask, label[:, ::-1] if mirrored else label)
    assert 70 < flipped < 130


@pytest.mark.parametrize("p", [0, 0.1, 0.5, 0.9, 1, None])
def test_mirroring_alone_is_albumentations_own_decision_without_albumentations(p, monkeypatch):
    image, label = scene()
    settings = {"name": "HorizontalFlip"} | ({} if p is None else {"p": p})
    # A list of more than one transform goes through albumentations; the second one draws after the first has decided.
    asked = Augmentation([settings, {"name": "VerticalFlip", "p": 0.0}], SHAPE)
    assert not asked.mirrors_only
    monkeypatch.setitem(sys.modules, "albumentations", None)  # importing it fails from here on
    own = Augmentation([settings], SHAPE)
    assert own.mirrors_only
    for index in range(100):
        key = (7, index // 10, index)
        expected, expected_label = asked(image, label, key)
        changed, mask = own(image, label, key)
        np.testing.assert_array_equal(changed, expected)
        np.testing.assert_array_equal(mask, expected_label)
        assert own.mirrored(key) == (not np.array_equal(expected, image))


@pytest.mark.parametrize(
    ("transforms", "alone"),
    [
        ([], True),
        ([{"name": "HorizontalFlip", "p": 0.5}], True),
        ([{"name": "HorizontalFlip", "p": 0.5}] * 2, False),
        ([{"name": "VerticalFlip", "p": 0.5}], False),
    ],
)
def test_what_mirrors_only(transforms, alone):
    augmentation = Augmentation(transforms, SHAPE)
    assert augmentation.mirrors_only == alone
    assert transforms or not augmentation.mirrored((0, 0, 0))


def test_geometric_changes_keep_labels_on_their_pixels_and_padding_is_unscored():
    image, label = scene()
    geometric = shipped("road")[:4]
    augmentation = Augmentation(geometric, SHAPE)
    padded = 0
    for index in range(100):
        changed, mask = augmentation(image, label, (index,))
        assert changed.shape == (*SHAPE, 3)
        assert set(np.unique(mask)) <= {0, 1, 2, 255}
        border = (changed == 0).all(-1)
        np.testing.assert_array_equal(mask == 255, border)
        padded += border.any()
        # Away from edges, where the picture is interpolated, brightness tells the class.
        seen = np.select([changed[..., 0] > 230, abs(changed[..., 0].astype(int) - 128) < 5], [1, 2], 0)
        assert (seen == mask)[~border].mean() > 0.9
    assert 10 < padded < 90


@pytest.mark.parametrize("name", ["flip", "road"])
def test_the_key_alone_determines_the_result(name):
    image, label = scene()
    first = Augmentation(shipped(name), SHAPE)
    second = Augmentation(shipped(name), SHAPE)
    for index in (5, 3, 5, 1):
        second(image, label, (9, index))
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
    first, second = (Augmentation([transform | {"p": 1.0}], SHAPE) for _ in range(2))
    results = []
    for index in range(4):
        np.random.seed(index)
        a, b = first(image, label, (3, index))
        np.random.seed(99)
        c, d = second(image, label, (3, index))
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
        results.append(a.tobytes())
    assert len(set(results)) > 1


def test_transforms_decide_independently_of_each_other():
    """With a generator of the same seed for each transform, both flips would always come together."""
    image, label = scene()
    both = [{"name": "HorizontalFlip", "p": 0.5}, {"name": "VerticalFlip", "p": 0.5}]
    augmentation = Augmentation(both, SHAPE)
    kinds = {"": image, "h": image[:, ::-1], "v": image[::-1], "hv": image[::-1, ::-1]}
    seen = {k: 0 for k in kinds}
    for index in range(200):
        changed, _ = augmentation(image, label, (index,))
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
        Augmentation(transforms, SHAPE)
