"""Reading files that somebody else has named: regular ones alone, opened once, of a size that makes sense.

A pipe would be waited for, a device never ends, and what is looked at before it is opened may be another file by then.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

TEXT = 16 << 20
"""Bytes of the largest file of settings, results or classes that is read."""


def open_regular(path: Path, most: int | None = None) -> BinaryIO:
    """The file, opened for reading.

    Args:
        path: links are followed.
        most: bytes that it may have at most.

    Raises:
        OSError: it cannot be opened, is no regular file, or is larger; ``strerror`` and ``filename`` say so.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise _refused(path, f"it is no file, but {_kind(os.stat(path).st_mode)}") from error
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode):
        os.close(handle)
        raise _refused(path, f"it is no file, but {_kind(about.st_mode)}")
    if most is not None and about.st_size > most:
        os.close(handle)
        raise _refused(path, f"it is larger than {most / 2**20:g} MiB, the most that is read of such a file")
    return os.fdopen(handle, "rb")


def read_regular(path: Path, most: int) -> bytes:
    """The content of a file of ``most`` bytes at most. Raises OSError as ``open_regular``."""
    with open_regular(path, most) as file:
        content = file.read(most + 1)
    if len(content) > most:  # it has grown since, or does not tell its size, as files in /proc
        raise _refused(path, f"it is larger than {most / 2**20:g} MiB, the most that is read of such a file")
    return content


def read_text(path: Path, most: int = TEXT) -> str:
    """The text of a file in UTF-8, without the mark that an editor may have left in front.

    Raises:
        OSError: as ``open_regular``.
        UnicodeDecodeError: it is no text.
    """
    return read_regular(path, most).decode("utf-8-sig")


def real(path: Path) -> Path:
    """The absolute path without links, as far as they lead somewhere: a link to itself is what it is."""
    return Path(os.path.realpath(path))


def _kind(mode: int) -> str:
    return next((words for test, words in KINDS if test(mode)), "something else")


def _refused(path: Path, reason: str) -> OSError:
    return OSError(errno.EINVAL, reason, str(path))
