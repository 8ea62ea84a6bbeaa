"""Writing files so that readers, full disks and kills never meet half of one, and locks that end with their holder."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from filelock import FileLock, Timeout

from segkit.errors import UserError

LONGEST = 255
"""Bytes that a file's name may have, on nearly all file systems."""

LOOKING = 0.15
"""Seconds in which a lock is tried again: one who only looks whether it is taken has it for a moment."""


def temporary_name(path: Path) -> Path:
    """Where ``path`` is written before it takes its place: one name, so that what a killed run has left is found."""
    name = os.fsencode(path.name)
    if len(name) > LONGEST - len("..part"):
        name = name[: LONGEST // 2] + blake2b(name, digest_size=16).hexdigest().encode()
    return path.with_name(f".{os.fsdecode(name)}.part")


def create(path: Path) -> None:
    """Make a new empty file, in the place of what lies there: a leftover, or a link, which is not followed.

    Raises:
        OSError: a folder lies there, or it cannot be written.
    """
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a file to be written, which then takes the place of ``path`` in one step.

    A reader sees the old file or the new one. An error, also in the body, leaves the old one. What lies in the place of
    the file to be written is removed, a killed run's leftover or somebody's link: nothing is written through it.
    """
    temporary = temporary_name(path)
    create(temporary)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked_folder(path: Path, taken: str) -> Iterator[None]:
    """Within it no other process gets in here with the same folder, in which no file is left; ends with the process.

    Raises:
        UserError: another process has it; ``taken`` is the message.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(taken) from None
        yield
    finally:
        os.close(handle)


@contextmanager
def beside(path: Path, key: str) -> Iterator[Path]:
    """Gives an empty folder beside ``path``, in which what is to take its place is made; it is removed afterwards.

    Its name is always the same, so that what a killed run has left there goes with the next one.

    Raises:
        UserError: another process is making ``path``, which the setting ``key`` names.
    """
    folder = temporary_name(path)
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    folder.mkdir(exist_ok=True)
    with locked_folder(folder, f"{key}={path}: another process is writing it; wait for its end"):
        for leftover in folder.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


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
