"""What processes use of a machine, and how fast that grows: memory, descriptors, shared memory, disk."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from segkit.benchmarks.loader import memory

MARK = "SEGKIT_SOAK"
"""The variable in the environment that all processes of a program inherit: it finds those too whose parent has died."""

SHARED = Path("/dev/shm")


@dataclass(frozen=True)
class Usage:
    """``memory_mib`` counts what processes share once; ``shm_mib`` is of new entries of ``/dev/shm``, whoever made
    them; ``disk_mib`` of the files below a folder."""

    memory_mib: float
    descriptors: int
    processes: int
    shm_mib: float
    disk_mib: float


def marked(mark: str) -> Iterator[int]:
    """The processes of this user whose environment holds ``mark``."""
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)
            except OSError:  # another user's, or it has ended
                continue


def usage(mark: str, folder: Path, shared_before: Iterable[str]) -> Usage:
    """What the processes with ``mark`` use now.

    Args:
        mark: see ``marked``.
        folder: whose files count.
        shared_before: entries of ``/dev/shm`` that do not count.
    """
    held, descriptors, processes = 0.0, 0, 0
    for process in marked(mark):
        try:
            held += memory(process).get("Pss", 0.0)
            descriptors += len(os.listdir(f"/proc/{process}/fd"))
        except OSError:  # it has ended
            continue
        processes += 1
    new = {entry.name for entry in SHARED.iterdir()} - set(shared_before)
    return Usage(held, descriptors, processes, _size(SHARED / name for name in new), _size(folder.rglob("*")))


def _size(paths: Iterable[Path]) -> float:
    """MiB of regular files; those that go meanwhile do not count."""
    total = 0
    for path in paths:
        try:
            about = path.lstat()
        except OSError:
            continue
        total += about.st_blocks * 512
    return total / 2**20


def slopes(processes: Sequence[Sequence[tuple[float, Usage]]]) -> dict[str, float]:
    """Growth an hour of each figure, by its name, within processes that did the same one after the other.

    One line's slope is fitted to all of them, each with a level of its own. The first quarter of a process's samples
    does not count: there it fills its buffers.

    Args:
        processes: of each process the seconds at which it was looked at, and what it used.
    """
    times, values = [], []
    names = [each.name for each in fields(Usage)]
    for samples in processes:
        late = samples[len(samples) // 4 :]
        if len(late) > 1:
            at = np.array([when for when, _ in late])
            used = np.array([[*asdict(one).values()] for _, one in late], float)
            times.append(at - at.mean())
            values.append(used - used.mean(0))
    if not times:
        return dict.fromkeys(names, float("nan"))
    time, value = np.concatenate(times), np.concatenate(values)
    return dict(zip(names, (3600 * (time @ value) / (time @ time)).tolist(), strict=True))
