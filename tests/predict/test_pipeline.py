"""Reading ahead and writing behind: order, threads, errors, and what it says of its time."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from segkit.data.ahead import ahead
from segkit.predict.pipeline import Seconds, staged

HERE = threading.get_ident()


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("segkit.data.ahead", "segkit.predict.pipeline"):
        monkeypatch.setattr(f"{module}.cores", lambda: 2)


def same(*arguments: Any) -> Any:
    return arguments[-1]


def fails_at(number: int, error: type[BaseException], begun: list[int]) -> Callable[..., int]:
    def stage(*arguments: int) -> int:
        begun.append(arguments[-1])
        if arguments[-1] == number:
            raise error(f"at {number}")
        return arguments[-1]

    return stage


def test_ahead_keeps_the_order_and_runs_in_other_threads() -> None:
    results = list(ahead(lambda i: (i * i, threading.get_ident() != HERE), range(100)))
    assert results == [(i, (i * i, True)) for i in range(100)]


def test_ahead_hands_errors_on_and_reads_no_more_than_it_needs() -> None:
    begun: list[int] = []
    results = ahead(fails_at(3, ValueError, begun), range(10_000))
    assert [next(results) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(ValueError, match="at 3"):
        next(results)
    assert len(begun) < 1000


def test_every_item_passes_the_stages_in_order_each_in_its_own_kind_of_thread() -> None:
    where: dict[str, set[int]] = {"read": set(), "network": set(), "write": set()}
    computed = []

    def read(item: int) -> int:
        where["read"].add(threading.get_ident())
        return item + 1

    def network(content: int) -> int:
        where["network"].add(threading.get_ident())
        computed.append(content)
        return 10 * content

    def write(item: int, answer: int) -> tuple[int, int]:
        where["write"].add(threading.get_ident())
        return item, answer

    results = list(staged(range(50), read, network, write, Seconds()))
    assert results == [(i, (i, 10 * (i + 1))) for i in range(50)]
    assert computed == [i + 1 for i in range(50)]
    assert where["network"] == {HERE}
    assert HERE not in where["read"] | where["write"]
    assert not where["read"] & where["write"]


def test_reading_computing_and_writing_go_on_at_the_same_time() -> None:
    # Each stage waits for the next one to have begun with an earlier item: one after the other, this would never end.
    networks, writes = threading.Event(), threading.Event()

    def read(item: int) -> int:
        assert item != 1 or networks.wait(10)
        return item

    def network(content: int) -> int:
        networks.set()
        assert content != 1 or writes.wait(10)
        return content

    def write(item: int, answer: int) -> int:
        writes.set()
        return answer

    assert len(list(staged(range(3), read, network, write, Seconds()))) == 3


@pytest.mark.parametrize(
    ("stage", "error"),
    [(0, OSError), (1, OSError), (2, OSError), (1, KeyboardInterrupt)],  # Ctrl-C comes in the main thread
)
def test_an_error_in_any_stage_ends_all_and_is_raised_here(stage: int, error: type[BaseException]) -> None:
    begun: list[int] = []
    stages: list[Callable[..., Any]] = [same, same, same]
    stages[stage] = fails_at(5, error, begun)
    threads = set(threading.enumerate())
    written: list[int] = []
    results = staged(range(10_000), *stages, Seconds())
    with pytest.raises(error, match="at 5"):
        written.extend(item for item, _ in results)
    assert written == list(range(len(written)))
    assert len(written) <= 5
    assert len(begun) < 100
    assert set(threading.enumerate()) <= threads


def test_no_items_are_no_work() -> None:
    assert list(staged([], same, same, same, Seconds())) == []


def test_busy_seconds_are_those_of_a_thread_and_the_largest_is_the_slowest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]  # a clock that stands still but for what the stages add
    monkeypatch.setattr("segkit.predict.pipeline.time.perf_counter", lambda: now[0])

    def lasting(seconds: float) -> Callable[..., int]:
        def stage(*arguments: int) -> int:
            now[0] += seconds
            return 0

        return stage

    seconds = Seconds()
    list(staged([0], lasting(1), lasting(2), lasting(4), seconds))
    assert seconds == Seconds(reading=1, network=2, writing=4, wall=7)
    assert seconds.slowest == "writing"
    assert str(seconds) == ("reading 1.0 s, network 2.0 s, writing 4.0 s, all at the same time 7.0 s; slowest: writing")
