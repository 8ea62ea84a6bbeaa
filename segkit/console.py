"""The one console that progress bars and log lines share, so that they do not write over each other."""

import logging

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(highlight=False, soft_wrap=True)


class ConsoleHandler(logging.Handler):
    """A logging handler (named in ``conf/hydra/job_logging/``) that prints above a running progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        console.print(self.format(record), markup=False)


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
