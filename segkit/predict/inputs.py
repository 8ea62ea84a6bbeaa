"""What people name on a command line, found or refused before anything heavy is imported."""

import glob
import os
from pathlib import Path

from segkit.data.records import SUFFIXES
from segkit.errors import UserError

VIDEOS = (
    ".mp4",
    ".webm",
    ".avi",
    ".mkv",
    ".mov",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mts",
    ".ogv",
    ".wmv",
    ".flv",
    ".3gp",
)
"""Endings of files that are videos."""


def is_camera(place: str) -> bool:
    """Whether ``input=`` means a camera: a number that is no file's name."""
    return place.isdecimal() and not Path(place).exists()


def find_video(place: str) -> Path | None:
    """The video file meant by ``input=``; None where it means pictures.

    Raises:
        UserError: there is no such file.
    """
    path = Path(place).expanduser()
    if path.suffix.lower() not in VIDEOS or path.is_dir():
        return None
    if not path.is_file():
        raise UserError(f"input={place}: no such file")
    return path


def find_pictures(pattern: str, key: str = "input") -> list[Path]:
    """The pictures meant by a file, a folder (its own pictures, not those of folders in it) or a glob pattern.

    Raises:
        UserError: naming ``key``: there is none, or two would be written under the same name.
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
        raise UserError(f"{key}={pattern}: no picture there; give a file, a folder of {'/'.join(SUFFIXES)} or a glob")
    stems: dict[str, Path] = {}
    for entry in sorted(found):
        if entry.stem in stems:
            raise UserError(f"{key}={pattern}: {stems[entry.stem]} and {entry} would be written under the same name")
        stems[entry.stem] = entry
    return list(stems.values())


def find_folder(place: str, key: str, holds: str) -> Path:
    """The folder meant by ``place``; ``holds`` says what lies in it, for the error.

    Raises:
        UserError: naming ``key``, when there is no such folder.
    """
    path = Path(place).expanduser()
    if not place or not path.is_dir():
        raise UserError(f"{key}={place}: no such folder; give the one that holds {holds}")
    return path
