"""How far a threshold on grey alone gets: pictures that it solves are not worth training on."""

import cv2
import numpy as np
from numpy.typing import NDArray


def grey_histograms(image: NDArray[np.uint8], label: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pixels by class 0 and 1 and by grey value: int64 (2, 256).

    ``image`` is RGB uint8 (H, W, 3); ``label`` uint8 (H, W), of which values other than 0 and 1 are not counted.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.stack([np.bincount(grey[label == value], minlength=256) for value in (0, 1)])


def best_grey_threshold_iou(histograms: NDArray[np.int64]) -> float:
    """The best IoU of class 1, 0…1, of any rule "class 1 is where lo ≤ grey ≤ hi", over all 0 ≤ lo ≤ hi ≤ 255.

    Takes ``grey_histograms`` summed over all pictures; NaN where no pixel is of class 1.
    """
    below_other, below_road = (np.concatenate([[0], counts.cumsum()]) for counts in histograms)
    # [lo, hi]: what the interval holds of the class; empty intervals (hi < lo) come out negative and never win.
    found = below_road[None, 1:] - below_road[:-1, None]
    wrong = below_other[None, 1:] - below_other[:-1, None]
    road = histograms[1].sum()
    return float((found / (road + np.maximum(wrong, 0))).max()) if road else float("nan")
