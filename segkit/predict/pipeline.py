"""Files read and written beside a computation, in order, a few at a time."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from operator import length_hint
from typing import TypeVar

from segkit.data.ahead import ahead
from segkit.distributed.cores import cores

Item = TypeVar("Item")
Read = TypeVar("Read")
Computed = TypeVar("Computed")
Result = TypeVar("Result")


@dataclass
class Seconds:
    """How long the stages of ``staged`` were busy: reading and writing per thread, the network in its only one.

    The stage nearest to ``wall``, the time from the first item to the last, is the one that the others waited for.
    """

    reading: float = 0.0
    network: float = 0.0
    writing: float = 0.0
    wall: float = 0.0

    @property
    def slowest(self) -> str:
        """The stage that was busy longest."""
        return max(("reading", "network", "writing"), key=lambda stage: getattr(self, stage))

    def __str__(self) -> str:
        stages = f"reading {self.reading:.1f} s, network {self.network:.1f} s, writing {self.writing:.1f} s"
        return f"{stages}, all at the same time {self.wall:.1f} s; slowest: {self.slowest}"


def staged(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    network: Callable[[Read], Computed],
    write: Callable[[Item, Computed], Result],
    seconds: Seconds,
) -> Iterator[tuple[Item, Result]]:
    """Read, compute and write each item, the three at the same time; yields what ``write`` returns, in order.

    ``read`` and ``write`` run in as many threads each as there are cores, ``network`` in the caller's, between the
    results that it takes; there ``items`` are taken too. What any of them raises is raised here; what has been begun by
    then is finished, nothing else is begun.

    Args:
        seconds: what the items took is added to it.
    """
    begun = time.perf_counter()
    threads = max(1, min(cores(), length_hint(items, cores())))
    writing: deque[tuple[Item, Future[tuple[Result, float]]]] = deque()

    def written() -> tuple[Item, Result]:
        item, future = writing.popleft()
        result, took = future.result()
        seconds.writing += took / threads
        return item, result

    pool = ThreadPoolExecutor(threads)
    try:
        with closing(ahead(lambda item: _timed(read, item), items)) as pictures:
            for item, (content, took) in pictures:
                seconds.reading += took / threads
                computed, took = _timed(network, content)
                seconds.network += took
                writing.append((item, pool.submit(_timed, write, item, computed)))
                while writing and (len(writing) > 2 * threads or writing[0][1].done()):
                    yield written()
        while writing:
            yield written()
    finally:
        pool.shutdown(cancel_futures=True)
        seconds.wall += time.perf_counter() - begun


def _timed(function: Callable[..., Result], *arguments: object) -> tuple[Result, float]:
    begun = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - begun
