"""The free road of a picture in metres, and its drawing as a layer of its own, to be laid over any painted picture."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.records import SegmentationClass
from segkit.road.calibration import Calibration
from segkit.road.drawing import draw_on_picture
from segkit.road.free_space import FreeRoad, free_road
from segkit.road.writers import GRID, road_class


class Metres(NamedTuple):
    """``free`` is what is measured, ``drawing`` a PNG with alpha of the picture's size."""

    free: dict[str, Any]
    drawing: bytes


def metres(
    classes: NDArray[np.uint8], class_list: Sequence[SegmentationClass], calibration: Calibration
) -> Metres | None:
    """Of class numbers (H, W); None where none of the classes is the road."""
    road = road_class(class_list)
    if road is None:
        return None
    free = free_road(GRID.warp(classes == road, calibration), GRID.seen(calibration, classes.shape), GRID)
    return Metres(free.as_dict(), _layer(free, calibration, classes.shape))


def _layer(free: FreeRoad, calibration: Calibration, shape: tuple[int, ...]) -> bytes:
    """What is drawn, told from what shows through it by drawing on black and on white."""
    black, white = (
        draw_on_picture(np.full((*shape[:2], 3), value, np.uint8), free, calibration).astype(np.int32)
        for value in (0, 255)
    )
    alpha = 255 - (white - black).max(2).clip(0, 255)
    colour = 255 * black // np.maximum(alpha, 1)[..., None]
    layer = np.dstack([colour.clip(0, 255)[..., ::-1], alpha]).astype(np.uint8)
    return cv2.imencode(".png", layer)[1].tobytes()
