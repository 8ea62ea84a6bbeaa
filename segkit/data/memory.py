"""Memory for pictures, taken from the system once."""

import numpy as np

KEPT = 31 << 20
"""Bytes: glibc learns from blocks of up to 32 MiB."""


def keep_freed_memory() -> None:
    """Have this process use freed memory again, up to about twice ``KEPT`` bytes of it, where the C library is glibc.

    Else every picture and every batch is handed back to the system when it is freed, and the next one gets its memory
    page by page, zeroed. That took two thirds of the time in which a batch of 16 pictures is read from the cache.
    glibc learns the size of what comes and goes from the largest block that was freed; this one is never written to.
    """
    np.empty(KEPT, np.uint8)
