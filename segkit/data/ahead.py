"""Files read by threads ahead of a computation, in order, a few at a time."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from segkit.distributed.cores import cores

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_BACKGROUND = 4
"""Items that ``in_background`` holds at most."""


def ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[tuple[Item, Result], None, None]:
    """``function`` of each item in order, computed by as many threads as there are cores, a few items ahead."""
    running: deque[tuple[Item, Future[Result]]] = deque()
    threads = cores()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            running.append((item, pool.submit(function, item)))
            if len(running) > 2 * threads:
                first, future = running.popleft()
                yield first, future.result()
        for first, future in running:
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def in_background(items: Iterable[Item]) -> Generator[Item, None, None]:
    """The items, taken from an iterator by a thread of its own, which is ``IN_BACKGROUND`` of them ahead at most."""
    iterator, end = iter(items), object()
    running: deque[Future[Any]] = deque()
    pool = ThreadPoolExecutor(1)
    try:
        while True:
            while len(running) < IN_BACKGROUND:
                running.append(pool.submit(next, iterator, end))
            item = running.popleft().result()
            if item is end:
                return
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
