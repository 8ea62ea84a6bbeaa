"""What is known of a road in metres, written: on overlays, from above, as ``road.json``, and KITTI's submission."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.data.records import SegmentationClass
from segkit.data.writer import Prediction, Writer, png
from segkit.errors import shortlist
from segkit.road.birds_eye import BirdsEyeView
from segkit.road.calibration import Calibration
from segkit.road.drawing import draw_on_birds_eye, draw_on_picture
from segkit.road.free_space import FreeRoad, free_road
from segkit.runs.files import write_whole
from segkit.runs.stamp import stamped

GRID = BirdsEyeView()
log = logging.getLogger(__name__)

Calibrations = Mapping[Path, Calibration | None]
"""Of each picture, in the pictures' order; None where it is not known."""


def road_writers(
    formats: Sequence[str], class_list: Sequence[SegmentationClass], calibrations: Calibrations
) -> list[Writer]:
    """Those of ``formats`` that show the road in metres (overlay, bev), and ``road.json``.

    None without calibrations, unless ``bev`` is asked for.
    """
    if "bev" not in formats and not any(calibrations.values()):
        return []
    metres = Metres(class_list, calibrations)
    chosen = [writer for writer in (RoadOverlay(metres), BirdsEye(metres)) if writer.name in formats]
    return [*chosen, metres]


def road_class(class_list: Sequence[SegmentationClass]) -> int | None:
    """The class that is the road: that named ``road`` or ``lane``, else class 1 of two; None where there is none."""
    names = [item.name for item in class_list]
    named = [names.index(name) for name in ("road", "lane") if name in names]
    return named[0] if named else 1 if len(names) == 2 else None


class Metres(Writer):
    """``road.json``: the free road of each picture in metres, and the pictures whose calibration is not known."""

    name = "road"
    per_picture = False
    files = ("road.json",)

    def __init__(self, class_list: Sequence[SegmentationClass], calibrations: Calibrations) -> None:
        self.road, self.calibrations = road_class(class_list), calibrations
        self._free: dict[Path, FreeRoad | None] = {}
        if self.road is None:
            log.warning("none of this network's classes is named road or lane: no metres")

    @property
    def known(self) -> bool:
        """Whether anything can be said in metres."""
        return self.road is not None and any(self.calibrations.values())

    def free(self, prediction: Prediction) -> FreeRoad | None:
        """Measured once per picture, whoever asks; None without calibration or road."""
        path = prediction.path
        if path not in self._free:
            calibration, free = self.calibrations[path], None
            if calibration is not None and self.road is not None:
                road = GRID.warp(prediction.classes == self.road, calibration)
                free = free_road(road, GRID.seen(calibration, prediction.classes.shape), GRID)
            self._free[path] = free
        return self._free[path]

    def forget(self, path: Path) -> None:
        """Drop what was measured of a picture that all have written."""
        self._free.pop(path, None)

    @property
    def without_calibration(self) -> list[str]:
        """The names of the pictures seen so far that have none."""
        return [path.stem for path, known in self.calibrations.items() if known is None and path in self._free]

    def encode(self, prediction: Prediction) -> None:
        self.free(prediction)

    def finish(self, folder: Path, complete: bool) -> int | None:
        bare = self.without_calibration
        if bare:
            log.warning("without calibration, so no bird's-eye view, no metres: %s", shortlist(bare))
        if self.road is None:
            return None
        free = {path.stem: self._free.get(path) for path in self.calibrations}
        metres = {name: one.as_dict() for name, one in free.items() if one is not None}
        content = {"pictures": metres, "without_calibration": bare}
        write_whole(folder / self.files[0], json.dumps(stamped(content), indent=2, allow_nan=False).encode() + b"\n")
        return len(metres)


class RoadOverlay(Writer):
    """The painted picture with its legend, and the free road drawn on it where the calibration is known."""

    name = "overlay"

    def __init__(self, metres: Metres) -> None:
        self.metres = metres

    def picture(self, prediction: Prediction) -> NDArray[np.uint8]:
        """RGB uint8 (H, W, 3)."""
        picture, free = prediction.painted, self.metres.free(prediction)
        calibration = self.metres.calibrations[prediction.path]
        if free is not None and calibration is not None:
            picture = draw_on_picture(picture, free, calibration)
        return prediction.with_legend(picture)

    def encode(self, prediction: Prediction) -> bytes:
        return png(self.picture(prediction))


class BirdsEye(Writer):
    """The painted picture from above, where the calibration is known."""

    name = "bev"

    def __init__(self, metres: Metres) -> None:
        self.metres = metres

    def encode(self, prediction: Prediction) -> bytes | None:
        calibration = self.metres.calibrations[prediction.path]
        if calibration is None:
            return None
        picture, free = GRID.warp(prediction.painted, calibration), self.metres.free(prediction)
        return png(picture if free is None else draw_on_birds_eye(picture, free, GRID))
