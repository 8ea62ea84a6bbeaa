"""The one console that progress bars and log lines share, so that they do not write over each other; text tables."""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

console = Console(highlight=False, soft_wrap=True)

TIMED = "%(asctime)s %(levelname)s %(name)s: %(message)s"
"""The form of a log file's lines."""


class ConsoleHandler(logging.Handler):
    """A logging handler that prints above a running progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        console.print(self.format(record), markup=False)


def say_apart(say: Callable[..., object], *words: object) -> None:
    """Call ``say``, of a log or a console, from a signal's handler: in a thread of its own.

    What the signal has interrupted may just be printing, and Python's streams refuse to be entered twice by one thread.
    """
    threading.Thread(target=say, args=words).start()


def progress_bar() -> Progress:
    """A bar for a known number of things, shown on a terminal only: log files keep to lines."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def table(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Rows of texts as aligned lines, the first one the head: columns two blanks apart, as wide as they have to be.

    Columns stand flush right, but for those whose numbers are in ``left``.
    """
    head, *body = rows
    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(head):
        found.add_column(Text(title), justify="left" if number in left else "right")
    for row in body:
        found.add_row(*map(Text, row))
    page = Console(width=10_000, color_system=None)
    with page.capture() as text:
        page.print(found)
    return "\n".join(line.rstrip() for line in text.get().splitlines())


def duration(seconds: float) -> str:
    """For people: ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def log_places() -> tuple[bool, Path | None]:
    """Where this process's log goes: whether to the console, and to which file."""
    handlers = logging.getLogger().handlers
    files = [Path(handler.baseFilename) for handler in handlers if isinstance(handler, logging.FileHandler)]
    return any(isinstance(handler, ConsoleHandler) for handler in handlers), files[0] if files else None


def log_to(on_console: bool, file: Path | None) -> None:
    """Log plain lines on the console, and the same lines with times into a file, which the first of them makes."""
    handlers: list[logging.Handler] = [logging.NullHandler()]
    if on_console:
        handlers.append(ConsoleHandler())
        handlers[-1].setFormatter(logging.Formatter("%(message)s"))
    if file is not None:
        handlers.append(logging.FileHandler(file, delay=True, encoding="utf-8", errors="backslashreplace"))
        handlers[-1].setFormatter(logging.Formatter(TIMED))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
