"""KITTI road's layout on disk, for its reader and for the scene generator (and so without heavy imports)."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from segkit.errors import UserError, shortlist

Category = Literal["um", "umm", "uu"]
Part = Literal["training", "testing"]

PARTS: tuple[Part, ...] = ("training", "testing")

CATEGORIES: tuple[Category, ...] = ("um", "umm", "uu")
"""Urban marked, urban multiple marked lanes, urban unmarked."""

PUBLISHED: dict[Part, dict[Category, int]] = {
    "training": {"um": 95, "umm": 96, "uu": 98},
    "testing": {"um": 96, "umm": 94, "uu": 100},
}
"""Pictures of the published set by part and category."""

GENERATED = {
    "scenes": "'count=[289,290]' seed=0",
    "sim2real": "'count=[6000,300]' seed=0 looks=varied",
}
"""How the scenes of the experiments are drawn, by the folder's name."""


def calibration_path(image: Path) -> Path:
    """Where the calibration of a picture belongs: ``calib/um_000000.txt`` for ``image_2/um_000000.png``."""
    return image.parents[1] / "calib" / f"{image.stem}.txt"


def find_calibrations(pictures: Sequence[Path], place: str | None) -> list[Path | None]:
    """The calibration file of each picture, ``<its name>.txt`` in a folder, or one file for all of them.

    Without ``place`` they are looked for in KITTI's layouts: road's, ``image_2/x.png`` and ``calib/x.txt``, and that of
    the raw recordings, whose day has one; None = not there.

    Raises:
        UserError: a given place does not exist or lacks the file of a picture.
    """
    if place is None:
        return [_beside(Path(os.path.abspath(path))) for path in pictures]
    given = Path(place).expanduser()
    if place and given.is_file():
        return [given] * len(pictures)
    if not place or not given.is_dir():
        raise UserError(
            f"calibration={place}: no such folder; give the one that holds <picture>.txt, or a file for all"
        )
    files = [given / f"{path.stem}.txt" for path in pictures]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise UserError(f"calibration={place}: {len(missing)} of {len(files)} files are missing: {shortlist(missing)}")
    return list(files)


def raw_calibration_path(picture: Path) -> Path | None:
    """Where that of a picture of KITTI's raw recordings, ``<day>/<drive>/image_02/data/x.png``, belongs."""
    above = picture.parents
    if len(above) < 4 or above[0].name != "data" or not above[1].name.startswith("image_"):
        return None
    return above[3] / "calib_cam_to_cam.txt"


def _beside(picture: Path) -> Path | None:
    road = calibration_path(picture) if len(picture.parents) > 1 else None  # none above a file in the root
    places = road, raw_calibration_path(picture)
    return next((path for path in places if path is not None and path.is_file()), None)


def how_to_come_by(root: Path) -> str:
    """What to do where ``root`` is not there: fetch KITTI road, or draw the scenes that an experiment is made for."""
    command = f"segkit data action=generate data.root={root}"
    if root.name in GENERATED:
        return f"{command} {GENERATED[root.name]} draws the scenes"
    return f"segkit data action=download data.root={root} fetches the data set, action=generate draws one"
