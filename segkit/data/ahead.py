"""Files read by threads ahead of a computation, in order, a few at a time."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from segkit.distributed.cores import cores

Item = TypeVar("Item")
Result = TypeVar("Result")


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
