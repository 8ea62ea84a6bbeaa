"""The calibration of KITTI's raw recordings, ``calib_cam_to_cam.txt``: one for all drives of a day.

It has the cameras, but not the road. That is taken to lie where the car's plan puts it: ``HEIGHT`` below the left grey
camera, level in the rectified picture. The calibrations of KITTI road say how good that is: in 21 of them the height is
1.64 ± 0.05 m, and the camera looks down by 0.4 ± 0.5 degrees, which at 20 m makes two metres.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.errors import UserError
from segkit.road.calibration import Calibration

HEIGHT = 1.65
"""Metres of the cameras above the road, as published with the raw recordings (Geiger, Lenz, Stiller and Urtasun,
"Vision meets robotics: the KITTI dataset", IJRR 2013)."""

LEFT_COLOUR = 2


def read_calibrations(pictures: Sequence[Path], files: Sequence[Path | None]) -> dict[Path, Calibration | None]:
    """Of each picture that of its file, None where it has none; a file is read once for all pictures of a camera.

    Raises:
        UserError: as ``read_calibration``.
    """
    read: dict[tuple[Path | None, Path], Calibration | None] = {(None, path.parent): None for path in pictures}
    for picture, path in zip(pictures, files, strict=True):
        if path is not None and (path, picture.parent) not in read:
            read[path, picture.parent] = read_calibration(path, picture)
    return {picture: read[path, picture.parent] for picture, path in zip(pictures, files, strict=True)}


def read_calibration(path: Path, picture: Path) -> Calibration:
    """The calibration that a file has for a picture: one of KITTI road's, or of KITTI's raw recordings.

    Of the latter's cameras it is the one that the picture's folder names (``image_03/data``), else the left colour one.

    Raises:
        UserError: naming the file; see ``Calibration.from_file``.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        text = ""  # the other reader says why
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if not any(name.startswith("P_rect_") for name in lines):
        return Calibration.from_file(path)
    folder = picture.parent.parent.name if picture.parent.name == "data" else ""
    number = folder.removeprefix("image_")
    camera = int(number) if folder.startswith("image_") and number.isdecimal() else LEFT_COLOUR
    rotation = _matrix(path, lines, "R_rect_00", (3, 3))
    return Calibration(
        {
            "P2": _matrix(path, lines, f"P_rect_{camera:02d}", (3, 4)),
            "R0_rect": rotation,
            # From the left grey camera before rectification, as in KITTI road's files.
            "Tr_cam_to_road": np.column_stack([rotation, [0.0, -HEIGHT, 0.0]]),
        }
    )


def _matrix(path: Path, lines: dict[str, str], name: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    try:
        values = np.array([float(word) for word in lines[name].split()]).reshape(shape)
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: has no {name} of {shape[0]} × {shape[1]} numbers") from error
    if not np.isfinite(values).all() or np.linalg.matrix_rank(values) < 3:
        raise UserError(f"{path}: {name} cannot be inverted")
    return values
