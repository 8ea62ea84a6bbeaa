"""Reading ahead: files are decoded by other threads while a picture is scored."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from segkit.cores import cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
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
