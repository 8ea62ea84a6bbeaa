"""How many processes can run at once."""

import os


def cores() -> int:
    """Processor cores that this process may use; where the system cannot say, all that it has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
