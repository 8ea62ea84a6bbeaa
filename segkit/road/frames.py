"""What is known of the road in metres on each frame of a drive: on the painted frames, from above, as ``road.csv``."""

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from segkit.data.writer import FrameWriter, Prediction
from segkit.road.calibration import Calibration
from segkit.road.free_space import DISTANCES, FreeRoad
from segkit.road.writers import Metres
from segkit.runs.files import create, temporary_name

COLUMNS = (
    "frame",
    "seconds",
    "free_ahead_m",
    "free_ahead_at_least",
    *(f"width_{distance}_m" for distance in DISTANCES),
    "width_at_least",
    "free_area_m2",
)
"""Of ``road.csv``; they are those of ``FreeRoad.as_dict``."""


class OneCalibration(Mapping[Path, Calibration | None]):
    """The same for every frame, by whatever name; it lists the ``video`` alone."""

    def __init__(self, video: Path, calibration: Calibration | None) -> None:
        self.video, self.calibration = video, calibration

    def __getitem__(self, path: Path) -> Calibration | None:
        return self.calibration

    def __iter__(self) -> Iterator[Path]:
        return iter((self.video,))

    def __len__(self) -> int:
        return 1


class RoadTable(FrameWriter):
    """``road.csv``: a row for each frame, empty but for its number and time where its calibration is not known.

    Args:
        metres: what measures them.
        folder: the file's.
    """

    name = "road"
    files = ("road.csv",)

    def __init__(self, metres: Metres, folder: Path) -> None:
        self.metres = metres
        self._path = folder / self.files[0]
        self._temporary = temporary_name(self._path)
        self._file: IO[str] | None = None
        self._rows: Any = None
        self._count = 0

    def encode(self, prediction: Prediction) -> FreeRoad | None:
        return self.metres.free(prediction)

    def append(self, path: Path, number: int, seconds: float, encoded: FreeRoad | None) -> None:
        if self._file is None:
            create(self._temporary)
            self._file = self._temporary.open("w", newline="")
            self._rows = csv.writer(self._file)
            self._rows.writerow(COLUMNS)
        self._rows.writerow([number, f"{seconds:.3f}", *_measured(encoded)])
        self.metres.forget(path)
        self._count += encoded is not None

    def finish(self) -> int | None:
        if self._file is None:
            return None
        self._file.close()
        os.replace(self._temporary, self._path)
        return self._count

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
        self._temporary.unlink(missing_ok=True)


def _measured(free: FreeRoad | None) -> list[Any]:
    if free is None:
        return [""] * (len(COLUMNS) - 2)
    values = free.as_dict()
    widths = [values["width_m"].get(str(distance)) for distance in DISTANCES]
    at_least = " ".join(map(str, values["width_at_least"]))
    ahead = values["free_ahead_m"], str(values["free_ahead_at_least"]).lower()
    return [*ahead, *("" if width is None else width for width in widths), at_least, values["free_area_m2"]]
