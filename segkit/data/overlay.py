"""Painting classes over pictures."""

from collections.abc import Sequence

import cv2
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
            # A table of all 256 values for each channel, and a masked copy: ten times as fast as numpy's indexing.
            table = np.rint((1 - alpha) * np.arange(256)[:, None] + alpha * np.array(item.colour)).astype(np.uint8)
            cv2.copyTo(cv2.LUT(image, table[None]), (label == value).view(np.uint8), painted)
    return painted
