"""What a JSON file of segkit says of itself: the version that wrote it, and the format, which versions may share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segkit import __version__
from segkit.errors import UserError, printable

STAMP = "segkit"
FORMAT = 1
"""Raised when a file's meaning changes; what is only added changes nothing for those who read it."""


class NewerFormatError(UserError):
    """A file of a later version of segkit."""


def stamped(content: Mapping[str, Any], **more: str) -> dict[str, Any]:
    """``content`` with the stamp in front, which says ``more`` too; one that it has already is replaced."""
    stamp = {"version": __version__, "format": FORMAT, **more}
    return {STAMP: stamp, **{name: value for name, value in content.items() if name != STAMP}}


def unstamped(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """``content`` without its stamp. Files from before there were stamps have none, and are read as they are.

    Raises:
        NewerFormatError: naming the file.
    """
    check_stamp(content, path)
    return {name: value for name, value in content.items() if name != STAMP}


def check_stamp(content: Any, path: Path) -> None:
    """Raises NewerFormatError, naming the file, where ``content`` is of a format that a later version has brought."""
    stamp = content.get(STAMP) if isinstance(content, Mapping) else None
    if not isinstance(stamp, Mapping):
        return
    number, version = stamp.get("format"), printable(stamp.get("version"))[:40]
    if isinstance(number, int) and number > FORMAT:
        raise NewerFormatError(
            f"{printable(path)} was written by segkit {version}, in a format that this one ({__version__}) does not "
            "know; install that version"
        )
