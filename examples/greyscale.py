"""An augmentation of one's own: some training pictures lose their colour. Its samples are made by loader processes."""

from collections.abc import Callable
from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from segkit.data.augment import Key, SampleAugmentation


class Greyscale(SampleAugmentation):
    """For pictures that are resized to the training shape; they and their labels stay where they are.

    Args:
        p: probability.
    """

    def __init__(self, p: Annotated[float, Ge(0), Le(1)]) -> None:
        self.p = p

    def __call__(
        self, picture: Callable[[int], NDArray[np.uint8]], key: Key
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        pixels = picture(key.number)
        rgb, label = pixels[..., :3].copy(), pixels[..., 3].copy()
        if np.random.default_rng(key).random() < self.p:  # from the key, so that every run draws the same
            rgb[:] = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None]
        return rgb, label
