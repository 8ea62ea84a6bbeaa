"""What happens to a program in the midst of its work, made to happen in its own process at a point that can be named.

A point is a step that changes something on the disk below the folder that the program runs in: a file opened for
writing, a folder made, a file renamed or removed. Python's audit hooks announce each before it is made.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS: dict[str, list[tuple[int, int | None]]] = {
    "open": [(0, None)],
    "os.mkdir": [(0, 2)],
    "os.rename": [(0, 2), (1, 3)],
    "os.remove": [(0, 1)],
    "os.rmdir": [(0, 1)],
    "os.link": [(0, 2), (1, 3)],
    "os.symlink": [(1, 2)],
}
"""Audit events, and which of their arguments are paths, and descriptors of the folders that these start from."""

MAKING = ("open", "os.mkdir", "os.link", "os.symlink")
"""Those that need room; the others succeed on a full disk."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
YEARS = 10 * 365 * 86_400.0


@dataclass(frozen=True)
class Fault:
    """What happens, and when.

    Attributes:
        kind: ``none``; ``kill``: SIGKILL at a point; ``cpu``: SIGKILL after seconds of the processor; ``ENOSPC``,
            ``EIO``, ``EROFS``: what every step says from a point on; ``clock``: it is ten years earlier from a point
            on; ``limit``: no file may have more bytes. What else a test names happens outside of the process.
        at: the point, counted from 1; seconds; or bytes.
    """

    kind: str = "none"
    at: float = 0

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:.4g}" if self.kind != "none" else "nothing"


def disturbed(program: Callable[[], object], fault: Fault, told: Path) -> None:
    """Call ``program``, to which ``fault`` happens; its points and seconds of the processor go to ``told`` as JSON."""
    here, lock, points, ours = os.getcwd() + os.sep, threading.Lock(), 0, time.time

    def step(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal points
        if event not in STEPS or (event == "open" and not (arguments[2] or 0) & WRITING):
            return
        names = [_absolute(arguments, *places) for places in STEPS[event]]
        if not any(f"{name}{os.sep}".startswith(here) for name in names):
            return
        with lock:
            points += 1
        if points < fault.at:
            return
        if fault.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault.kind == "clock":
            time.time = lambda: ours() - YEARS
        elif fault.kind in ("EIO", "EROFS") or (fault.kind == "ENOSPC" and event in MAKING):
            number = getattr(errno, fault.kind)
            raise OSError(number, os.strerror(number), names[0])

    sys.addaudithook(step)
    if fault.kind == "cpu":
        _killed_after(fault.at)
    elif fault.kind == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(fault.at), int(fault.at)))
    begun = time.process_time()
    try:
        program()
    finally:
        used = time.process_time() - begun
        if fault.kind == "none":
            told.write_text(json.dumps({"points": points, "seconds": used}))


def _absolute(arguments: tuple[Any, ...], path: int, folder: int | None) -> str:
    """The name of an argument; empty for an open file."""
    if isinstance(arguments[path], int):
        return ""
    start = -1 if folder is None else arguments[folder]
    return os.path.join(
        os.getcwd() if start < 0 else os.readlink(f"/proc/self/fd/{start}"), os.fsdecode(arguments[path])
    )


def _killed_after(seconds: float) -> None:
    """SIGKILL once this process has used so much of the processor, wherever it is then, also outside of Python.

    The kernel's timers send other signals; one whose default is the end, and that nobody handles, ends it as surely.
    """
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, max(1e-3, seconds))


def mount(folder: Path, size: int, read_only: bool = False, again: bool = False) -> bool:
    """Mount a file system in memory, of so many bytes, on ``folder``; whether that is allowed.

    ``again``: give the one that is there another size, and let it be written.
    """
    flags, options = (1 if read_only else 0) | (32 if again else 0), f"size={max(4096, size)}"
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options.encode()) == 0)


def unmount(folder: Path) -> None:
    """Take it away, with what lies in it, as soon as nobody uses it."""
    ctypes.CDLL(None).umount2(os.fsencode(folder), 2)
