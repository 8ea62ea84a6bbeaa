"""Mistakes that the user can put right, and the ends of a run that are no mistakes."""

import difflib
import signal
from collections.abc import Iterable, Sequence


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


def printable(text: object) -> str:
    """``text`` in one line: what would break it, move a terminal's cursor, or has no encoding is shown as its number.

    File names may hold anything but a slash.
    """
    shown = str(text)
    return shown if shown.isprintable() else "".join(map(_escaped, shown))


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return letter
    if "\udc80" <= letter <= "\udcff":  # how Python has a byte that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def shortlist(names: Sequence[str]) -> str:
    """The first few of ``names`` and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a line about a ``name`` that there is not: the one of ``known`` that is like it; empty for none."""
    lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1)
    return f"; did you mean {lower[near[0]]}?" if near else ""


def choices(name: object, known: Sequence[str], words: str = "there are") -> str:
    """As ``did_you_mean``, and all that there are, after ``words``."""
    near = did_you_mean(name, known)
    return f"{near} {words.capitalize()} {', '.join(known)}" if near else f"; {words} {', '.join(known)}"
