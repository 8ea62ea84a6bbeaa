"""A command with limits, to be run in a process of :mod:`tests.processes`."""

import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

MEMORY = 4 << 30
"""Bytes of address space that a command may take beside what was there before it."""

CPU_SECONDS = 30
"""Of the processor, that a command may take: the machine may have other work."""


def address_space() -> int:
    """Bytes of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def segkit(words: Sequence[str]) -> None:
    """Be ``segkit <words>``."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    limit = address_space() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    sys.argv = ["segkit", *words]
    from segkit.cli import main

    main()
