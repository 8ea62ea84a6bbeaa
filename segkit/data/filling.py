"""The cache filled by all cores: every file of a data set opened once, its problems gathered."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.cache import Entry, PictureCache, load
from segkit.data.checks import PictureError, Problem, shortened
from segkit.data.records import Record
from segkit.distributed.cores import cores


def fill_cache(
    cache: PictureCache,
    jobs: Sequence[tuple[Record, bool]],
    root: Path,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[list[Entry], list[Problem]]:
    """Entries of all records in their order, as far as their files are in order, and the problems of the others.

    Args:
        cache: an open one.
        jobs: records, and whether each is for evaluation.
        root: the data set's, from which files are named.
        on_progress: is told how many are done, of how many, after each.

    Raises:
        UserError: the cache cannot be written.
    """
    entries: dict[int, Entry] = {}
    problems = []
    # OpenCV, hashing and file access release the interpreter's lock. OpenCV's own threads would want these cores.
    pool, own_threads = ThreadPoolExecutor(max_workers=min(16, cores())), cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        running = {pool.submit(cache.fill, *job): number for number, job in enumerate(jobs)}
        for done, future in enumerate(as_completed(running), start=1):
            try:
                entries[running[future]] = future.result()
            except PictureError as error:
                problems.append(Problem(error.kind, f"{shortened(error.path, root)} {error.detail}"))
            if on_progress:
                on_progress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(own_threads)
    return [entries[number] for number in sorted(entries)], problems


def count_pixels(entries: Sequence[Entry]) -> NDArray[np.int64]:
    """Pixels by label value, int64 (256,), at the size at which pictures are cached."""
    with ThreadPoolExecutor(max_workers=min(16, cores())) as pool:
        counts = pool.map(lambda entry: np.bincount(load(entry.pixels)[..., 3].ravel(), minlength=256), entries)
        return sum(counts, np.zeros(256, np.int64))
