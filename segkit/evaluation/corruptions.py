"""Bad light and weather laid over clean pictures, by albumentations, in five severities."""

import os
import random
import warnings
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# albumentations asks a server for updates when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

Kind = Literal["shadow", "fog", "rain", "night", "blur"]
Steps = tuple[float, float, float, float, float]

# Chosen by eye on KITTI's pictures (375 rows; lengths are in pixels of the picture at its own size): severity 1 is seen
# at once and hides nothing, at 5 a person still finds the road. No other number than these grows with severity.
STRENGTHS: Mapping[Kind, Mapping[str, Steps]] = {
    # Share of the light that a shadow takes. In full sun about a seventh of the light comes from the sky, which is
    # 0.4 of a pixel's value (gamma 2.2): 4 is such a shadow, 5 one under a clearer sky.
    "shadow": {"depth": (0.25, 0.37, 0.48, 0.58, 0.67)},
    # Share of the scene's light that the fog takes and replaces by its own.
    "fog": {"density": (0.2, 0.35, 0.5, 0.6, 0.7)},
    # Share of contrast lost in the mist of drops, brightness of the nearest drops (0…255), share of daylight left.
    "rain": {
        "mist": (0.1, 0.2, 0.3, 0.4, 0.5),
        "drops": (50, 75, 100, 120, 140),
        "daylight": (0.95, 0.88, 0.8, 0.72, 0.65),
    },
    # Gamma in percent (dark parts lose more), share of light lost, the sensor's noise as a share of full white.
    "night": {
        "gamma": (110, 120, 130, 140, 150),
        "loss": (0.25, 0.4, 0.52, 0.62, 0.7),
        "noise": (0.01, 0.017, 0.024, 0.031, 0.038),
    },
    # Length of the camera's movement in pixels, odd.
    "blur": {"length": (7, 11, 17, 23, 31)},
}


class Corruption:
    """One kind of corruption in one severity.

    What is random (where shadows lie, drops fall, which way the camera moved) follows from seed, kind and the picture's
    name alone: a higher severity is the same scene with deeper shadows, and no picture depends on those before it.
    The scene stays where it is, so labels stay right. Not to be called by several threads at once.

    Args:
        kind: what to lay over the pictures.
        severity: 1 (mild) … 5 (severe).
        seed: number ≥ 0; another one casts other shadows.
    """

    def __init__(self, kind: Kind, severity: int, seed: int) -> None:
        import albumentations  # takes seconds, and most evaluations are of clean pictures

        strengths = {name: steps[severity - 1] for name, steps in STRENGTHS[kind].items()}
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # albumentations only warns about arguments that it does not know
            self._compose: Any = albumentations.Compose(_transforms(kind, strengths))
        self._source = f"{seed}/{kind}"

    def __call__(self, image: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
        """The corrupted picture: RGB uint8 (H, W, 3), a new array.

        Args:
            image: RGB uint8 (H, W, 3), at the size at which the camera took it.
            name: the picture's name in its data set.
        """
        digest = blake2b(f"{self._source}/{name}".encode(), digest_size=8).digest()
        generator = np.random.default_rng(int.from_bytes(digest, "big"))
        # As in segkit.data.augment: set_random_seed would give all transforms the same random numbers.
        self._compose.set_random_state(generator, random.Random(int(generator.integers(1 << 62))))
        corrupted: NDArray[np.uint8] = self._compose(image=image)["image"]
        return corrupted


def _transforms(kind: Kind, strengths: Mapping[str, float]) -> list[Any]:
    """Every transform draws equally many random numbers at every severity: only so are the scenes the same."""
    if kind == "shadow":
        return _shadows(**strengths)
    if kind == "fog":
        return _fog(**strengths)
    if kind == "rain":
        return _rain(**strengths)
    if kind == "night":
        return _night(**strengths)
    return _blur(**strengths)


def _shadows(depth: float) -> list[Any]:
    """Three to six polygons below the horizon, as of trees and houses: left, right and in between, where the road is.

    Spread out, because where several overlap they multiply, which no sun does.
    """
    from albumentations import RandomShadow

    spans = ((0.0, 0.55), (0.2, 0.8), (0.45, 1.0))  # from left to right, as shares of the width
    return [
        RandomShadow(
            shadow_roi=(left, 0.48, right, 1.0),
            num_shadows_limit=(1, 2),
            shadow_dimension=5,
            shadow_intensity_range=(depth, depth),
            p=1.0,
        )
        for left, right in spans
    ]


def _fog(density: float) -> list[Any]:
    """A grey veil over everything and thicker swathes of cloud noise.

    Not by RandomFog: on pictures as wide as KITTI's its fog is a few hundred blurred discs that look like bubbles, and
    none at all at its full strength. The veil's grey and the swathes together stay below white: no white-out.
    """
    from albumentations import PlasmaBrightnessContrast

    swathes = 0.3 * density
    return [
        _scaled(1 - density, added=0.7 * density),
        PlasmaBrightnessContrast(
            brightness_range=(swathes, swathes), contrast_range=(-swathes, -swathes), roughness=0.5, p=1.0
        ),
    ]


def _rain(mist: float, drops: float, daylight: float) -> list[Any]:
    """Mist, many short faint drops far away, and fewer long bright ones in front; under a darker sky.

    The streaks are thin and hardly blurred: albumentations' own blur of 7 pixels makes snowflakes of them.
    """
    from albumentations import RandomRain

    near, far = (int(drops),) * 3, (int(drops) // 2,) * 3
    common = {"slant_range": (-10, 10), "drop_width": 1, "p": 1.0}
    return [
        _scaled(1 - mist, added=0.4 * mist),
        RandomRain(
            rain_type="torrential", drop_length=18, drop_color=far, blur_value=1, brightness_coefficient=1.0, **common
        ),
        RandomRain(rain_type="heavy", drop_color=near, blur_value=2, brightness_coefficient=daylight, **common),
    ]


def _night(gamma: float, loss: float, noise: float) -> list[Any]:
    """Little light and an amplified sensor.

    Not ISONoise: in dark pictures its noise turns into single white dots.
    """
    from albumentations import GaussNoise, RandomGamma

    return [
        RandomGamma(gamma_limit=(gamma, gamma), p=1.0),
        _scaled(1 - loss, added=0.0),
        GaussNoise(std_range=(noise, noise), p=1.0),
    ]


def _blur(length: float) -> list[Any]:
    """A camera that moves in any direction during exposure, as much before as after the label's moment."""
    from albumentations import MotionBlur

    size = int(length)
    return [MotionBlur(blur_limit=(size, size), direction_range=(0.0, 0.0), allow_shifted=False, p=1.0)]


def _scaled(factor: float, added: float) -> Any:
    """Pixel values times ``factor``, plus ``added`` as a share of full white."""
    from albumentations import RandomBrightnessContrast

    return RandomBrightnessContrast(contrast_limit=(factor - 1, factor - 1), brightness_limit=(added, added), p=1.0)
