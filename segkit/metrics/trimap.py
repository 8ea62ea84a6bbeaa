"""Scores near the boundaries between classes, where a network that is right in the large is still wrong."""

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.records import IGNORE_INDEX

WIDTH = 3
"""Pixels on each side of a boundary that ``segkit evaluate`` scores as ``trimap_iou``."""


def trimap(label: NDArray[np.uint8], width: int = WIDTH) -> NDArray[np.uint8]:
    """The label in a narrow band around the boundaries between classes, 255 elsewhere.

    A scored pixel lies in the band if a pixel of another scored class is at most ``width`` rows and at most ``width``
    columns away (Chebyshev distance). Unscored pixels make no boundary. This is the trimap of Krähenbühl and Koltun,
    "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (2011), after Kohli, Ladický and Torr
    (2009).

    Args:
        label: class numbers uint8 (H, W), 255 not scored.
        width: pixels, at least 1.

    Returns:
        uint8 (H, W), a new array.
    """
    window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    # The largest and the smallest class in each pixel's window, unscored pixels (as 0 and as 255) being neither.
    # OpenCV leaves out what lies beyond the picture.
    unscored = label == IGNORE_INDEX
    largest = cv2.dilate(np.where(unscored, np.uint8(0), label), window)
    smallest = cv2.erode(label, window)
    return np.where(unscored | (largest == smallest), np.uint8(IGNORE_INDEX), label)
