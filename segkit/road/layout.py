"""KITTI road's layout on disk, for its reader and for the scene generator (and so without heavy imports)."""

from pathlib import Path
from typing import Literal

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


def calibration_path(image: Path) -> Path:
    """Where the calibration of a picture belongs: ``calib/um_000000.txt`` for ``image_2/um_000000.png``."""
    return image.parents[1] / "calib" / f"{image.stem}.txt"
