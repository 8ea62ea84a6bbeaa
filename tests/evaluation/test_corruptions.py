import numpy as np
import pytest

from segkit.evaluation import corruptions
from segkit.evaluation.corruptions import STRENGTHS, Corruption

KINDS = list(STRENGTHS)
SEVERITIES = range(1, 6)


@pytest.fixture(scope="module")
def street() -> np.ndarray:
    """Sky, road and verge, each with texture."""
    image = np.full((96, 310, 3), (150, 190, 230), np.uint8)
    image[48:] = (70, 120, 60)
    image[48:, 80:230] = (125, 125, 130)
    noise = np.random.default_rng(0).integers(-40, 41, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_name_gives_the_same_picture_whatever_came_before(street, kind):
    first, second = Corruption(kind, 3, seed=1), Corruption(kind, 3, seed=1)
    wanted = first(street, "um_000001")
    for name in ("um_000007", "um_000001", "um_000002"):
        second(street, name)
    np.random.seed(5)
    np.testing.assert_array_equal(second(street, "um_000001"), wanted)
    others = [first(street, "um_000002"), Corruption(kind, 3, seed=2)(street, "um_000001")]
    assert all((other != wanted).any() for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_every_severity_changes_the_picture_more_than_the_one_before(street, kind):
    for name in ("um_000000", "uu_000042"):
        pictures = [Corruption(kind, severity, seed=0)(street, name) for severity in SEVERITIES]
        changes = [np.abs(picture.astype(int) - street).mean() for picture in pictures]
        assert changes[0] > 1
        assert np.diff(changes).min() > 0.2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(375, 1242), (64, 48)])
def test_shape_and_type_stay_and_the_given_picture_is_left_alone(kind, shape):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    before = image.copy()
    corrupted = Corruption(kind, 5, seed=0)(image, "um_000000")
    assert corrupted.shape == image.shape
    assert corrupted.dtype == np.uint8
    assert corrupted is not image
    np.testing.assert_array_equal(image, before)


def test_a_higher_severity_deepens_the_same_shadows_and_they_lie_on_the_road():
    plain = np.full((96, 310, 3), 200, np.uint8)
    on_road = []
    for index in range(20):
        shaded = [Corruption("shadow", severity, 0)(plain, f"um_{index:06d}") < 200 for severity in SEVERITIES]
        for other in shaded[1:]:
            np.testing.assert_array_equal(other, shaded[0])
        assert not shaded[0][: 96 // 2 - 2].any()
        on_road.append(shaded[0][48:, 100:210].mean())
    assert min(on_road) > 0.02
    assert np.mean(on_road) > 0.25


def test_a_higher_severity_brightens_the_same_drops():
    black = np.zeros((96, 310, 3), np.uint8)
    drops = []
    for severity in SEVERITIES:
        rain = Corruption("rain", severity, 0)(black, "um_000000")
        drops.append(rain > rain.min())
    for other in drops[1:]:
        np.testing.assert_array_equal(other, drops[0])


def test_thick_fog_is_no_white_out():
    levels = np.tile(np.array([0, 60, 120, 180], np.uint8).repeat(60)[None, :, None], (96, 1, 3))
    for index in range(5):
        fog = Corruption("fog", 5, 0)(levels, f"um_{index:06d}")
        assert fog.max() < 255
        # What differed by 60 still differs, wherever the fog is thinnest or thickest.
        assert (fog[:, 60::60].astype(int) - fog[:, 59:-1:60]).min() > 5


def test_blur_does_not_move_the_picture():
    dot = np.zeros((81, 101, 3), np.uint8)
    dot[40, 50] = 255
    rows, columns = np.mgrid[:81, :101]
    for index in range(10):
        blurred = Corruption("blur", 5, 0)(dot, f"um_{index:06d}")[..., 0].astype(float)
        weights = blurred / blurred.sum()
        assert (weights * rows).sum() == pytest.approx(40, abs=0.1)
        assert (weights * columns).sum() == pytest.approx(50, abs=0.1)


def test_an_argument_that_albumentations_does_not_know_is_an_error(monkeypatch):
    import albumentations

    monkeypatch.setattr(corruptions, "_blur", lambda length: [albumentations.MotionBlur(blur=length)])
    with pytest.raises(UserWarning, match="blur"):
        Corruption("blur", 1, 0)
