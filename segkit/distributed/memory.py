"""How much memory this process can still get."""

import os
import resource
from pathlib import Path

GROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
"""Where Linux tells a container's limit, and what of it is used: its second version, and the first."""


def free_memory() -> int | None:
    """Bytes that can be taken before system, container or the process's own limit refuses; None: nobody tells."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        told = dict(line.split(":") for line in lines)
        found.append(int(told["MemAvailable"].split()[0]) * 1024)
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            found.append(limit - taken)
    except (OSError, KeyError, ValueError):
        pass
    for limits, used in GROUPS:
        try:
            found.append(int(limits.read_text()) - int(used.read_text()))
        except (OSError, ValueError):  # no such version, or "max"
            continue
    return max(0, min(found)) if found else None


def lacking(needed: float) -> str:
    """``some 12.5 GiB of memory, and 3.1 are free``, where ``needed`` bytes are not there; empty where they are."""
    free = free_memory()
    if free is None or needed <= free:
        return ""
    return f"some {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free"
