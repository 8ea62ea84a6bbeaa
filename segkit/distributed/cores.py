"""How many processes can run at once."""

import os

LIMIT = "SEGKIT_CORES"
"""The environment variable that says how many cores are this process's share, where several jobs are on one machine."""


def cores() -> int:
    """Processor cores that this process may use; where the system cannot say, all that it has."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, int(os.environ.get(LIMIT, there)))
