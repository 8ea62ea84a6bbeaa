"""How far a threshold on grey alone gets: scenes that it solves are not worth training on."""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.records import UNSCORED


def best_grey_threshold_iou(images_and_labels: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> float:
    """The best road IoU, 0…1, of any rule "road is where lo ≤ grey ≤ hi", over all 0 ≤ lo ≤ hi ≤ 255.

    Takes pairs of a picture, uint8 (H, W, 3) RGB, and its label, uint8 (H, W) with 1 road, 0 other and 255 not scored.
    Pixels are pooled over all pictures. ``ValueError`` where no pixel is road.
    """
    road, other = np.zeros(256), np.zeros(256)
    for image, label in images_and_labels:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        road += np.bincount(grey[label == 1], minlength=256)
        other += np.bincount(grey[(label != 1) & (label != UNSCORED)], minlength=256)
    if not road.sum():
        raise ValueError("no pixel of these labels is road")
    below_road, below_other = np.concatenate([[0], road.cumsum()]), np.concatenate([[0], other.cumsum()])
    # [lo, hi]: what the interval holds of the class; empty intervals (hi < lo) come out negative and never win.
    found = below_road[None, 1:] - below_road[:-1, None]
    wrong = below_other[None, 1:] - below_other[:-1, None]
    return float((found / (road.sum() + np.maximum(wrong, 0))).max())
