"""Painting classes over pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segkit.data.records import SegmentationClass


def paint(
    image: NDArray[np.uint8], label: NDArray[np.uint8], class_list: Sequence[SegmentationClass], alpha: float = 0.5
) -> NDArray[np.uint8]:
    """The picture with each class's colour laid over its pixels.

    Args:
        image: RGB, uint8 (H, W, 3).
        label: class ids, uint8 (H, W); 255 and classes without a colour are left as they are.
        class_list: the classes by id.
        alpha: share of the colour, 0…1.

    Returns:
        RGB, uint8 (H, W, 3), a new array.
    """
    painted = image.copy()
    for value, item in enumerate(class_list):
        if item.colour is not None:
            pixels = label == value
            blend = (1 - alpha) * image[pixels] + alpha * np.array(item.colour)
            painted[pixels] = np.rint(blend).astype(np.uint8)
    return painted
