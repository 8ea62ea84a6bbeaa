"""Tables of texts on a console, and what is said there while a signal interrupts it."""

import io
import logging
import signal
import threading

import pytest
from rich.console import Console

from segkit import console
from segkit.console import ConsoleHandler, table
from segkit.training.callbacks.interruption import Interruption


class Interrupted(io.RawIOBase):
    """A stream during whose first write SIGTERM comes, as it may while a process prints."""

    def __init__(self) -> None:
        self.said = b""

    def writable(self) -> bool:
        return True

    def write(self, text) -> int:  # type: ignore[no-untyped-def, override]
        first, self.said = not self.said, self.said + bytes(text)
        if first:
            signal.raise_signal(signal.SIGTERM)
        return len(text)


def test_a_signal_that_comes_while_a_line_is_printed_is_told_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Interrupted()
    shown = Console(file=io.TextIOWrapper(io.BufferedWriter(stream), "utf-8"), soft_wrap=True)
    monkeypatch.setattr(console, "console", shown)
    log = logging.getLogger("segkit.training.callbacks.interruption")
    monkeypatch.setattr(log, "handlers", [ConsoleHandler()])
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "level", logging.INFO)
    noting = Interruption("interrupted.ckpt")
    others = threading.enumerate()  # an executor of another test's may wait for work still
    before = signal.signal(signal.SIGTERM, noting._note)
    try:
        shown.print("Epoch 1")
    finally:
        signal.signal(signal.SIGTERM, before)
    for thread in threading.enumerate():
        if thread not in others:
            thread.join()
    assert noting.received == signal.SIGTERM
    assert stream.said.decode().splitlines() == [
        "Epoch 1",
        "SIGTERM: stopping after this batch (again to stop at once)",
    ]


def test_columns_stand_two_blanks_apart_and_numbers_flush_right() -> None:
    rows = [["Class", "IoU", "why"], ["road", "100.00 %", ""], ["pole [1/2]", "–", "in no label, " + "x" * 300]]
    assert table(rows, left={0, 2}).split("\n") == [
        "Class            IoU  why",
        "road        100.00 %",
        "pole [1/2]         –  in no label, " + "x" * 300,
    ]


def test_a_head_of_several_lines_takes_no_more_room_than_its_longest() -> None:
    assert table([["run", "best\nepoch"], ["a", "3"]]).split("\n") == ["      best", "run  epoch", "a        3"]
