"""Writing files so that readers, full disks and kills never meet half of one, and locks that end with their holder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from segkit.errors import UserError

LOOKING = 0.15
"""Seconds in which a lock is tried again: one who only looks whether it is taken has it for a moment."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a file to be written, which then takes the place of ``path`` in one step.

    A reader sees the old file or the new one. An error, also in the body, leaves the old one.
    """
    temporary = path.with_name(f".{path.name}.part")  # one name: a killed run's leftover is written over
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_new(path: Path, key: str) -> None:
    """Raises UserError, naming the setting ``key``, where ``path`` exists."""
    if path.exists():
        raise UserError(f"{key}={path} is there already; remove it or give another {key}=")


def write_whole(path: Path, content: bytes) -> None:
    """Write ``path`` in one step, as ``replacing`` does it."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def locked(path: Path, taken: str) -> FileLock:
    """The lock of the file ``path``, held by this process until it is released or the process dies, however it does.

    The file stays: removing it would let two processes lock two files.

    Raises:
        UserError: another process has it; ``taken`` is the message.
    """
    lock = FileLock(path, LOOKING, thread_local=False)
    try:
        lock.acquire(poll_interval=LOOKING / 3)
    except Timeout:
        raise UserError(taken) from None
    return lock
