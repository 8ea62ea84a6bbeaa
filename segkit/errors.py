"""Mistakes that the user can put right, and the ends of a run that are no mistakes."""

import signal
from collections.abc import Sequence


class UserError(Exception):
    """A wrong setting, path or file.

    The message is one or two lines: what is wrong, where (the config key or the file), and what would be right.
    Commands print it without a traceback and exit with code 2.
    """


class Pruned(UserError):  # noqa: N818 - not always a mistake
    """The study has given up on the run; the message says after which epoch."""


class Told(SystemExit):
    """A mistake of the user's that has been printed; the exit code is 2."""

    def __init__(self, line: str) -> None:
        super().__init__(2)
        self.line = line

    def __str__(self) -> str:
        return self.line


class Interrupted(SystemExit):
    """A run was ended by a signal; the exit code is 128 + its number, as shells have it."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)

    def __str__(self) -> str:
        return self.signal.name


def shortlist(names: Sequence[str]) -> str:
    """The first few of ``names`` and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
