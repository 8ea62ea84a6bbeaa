"""What people name on a command line, found or refused before anything heavy is imported."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from segkit.errors import UserError
from segkit.road.layout import calibration_path

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def find_pictures(pattern: str) -> list[Path]:
    """The pictures meant by a file, a folder (its own pictures, not those of folders in it) or a glob pattern.

    Raises:
        UserError: there is none, or two would be written under the same name.
    """
    pattern = os.path.expanduser(pattern)
    path = Path(pattern)
    if path.is_dir():
        found = [entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES]
    elif path.is_file():
        found = [path]
    else:
        found = [Path(name) for name in glob.glob(pattern, recursive=True) if os.path.isfile(name)]
    if not found:
        raise UserError(f"input={pattern}: no picture there; give a file, a folder of {'/'.join(SUFFIXES)} or a glob")
    stems: dict[str, Path] = {}
    for entry in sorted(found):
        if entry.stem in stems:
            raise UserError(f"input={pattern}: {stems[entry.stem]} and {entry} would be written under the same name")
        stems[entry.stem] = entry
    return list(stems.values())


def find_calibrations(pictures: Sequence[Path], folder: str | None) -> list[Path | None]:
    """The calibration file of each picture, ``<its name>.txt`` in ``folder``.

    Without ``folder`` they are looked for in KITTI's layout, ``image_2/x.png`` and ``calib/x.txt``; None = not there.

    Raises:
        UserError: a given folder does not exist or lacks the file of a picture.
    """
    if folder is None:
        beside = [calibration_path(Path(os.path.abspath(path))) for path in pictures]
        return [path if path.is_file() else None for path in beside]
    place = find_folder(folder, "calibration", "<picture>.txt")
    files = [place / f"{path.stem}.txt" for path in pictures]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise UserError(f"calibration={folder}: {len(missing)} of {len(files)} files are missing: {shortlist(missing)}")
    return list(files)


def shortlist(names: Sequence[str]) -> str:
    """The first few of ``names`` and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def find_folder(place: str, key: str, holds: str) -> Path:
    """The folder meant by ``place``; ``holds`` says what lies in it, for the error.

    Raises:
        UserError: naming ``key``, when there is no such folder.
    """
    path = Path(place).expanduser()
    if not place or not path.is_dir():
        raise UserError(f"{key}={place}: no such folder; give the one that holds {holds}")
    return path
