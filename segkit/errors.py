"""The one exception for mistakes that the user can put right."""

from collections.abc import Sequence


class UserError(Exception):
    """A wrong setting, path or file.

    The message is one or two lines: what is wrong, where (the config key or the file), and what would be right.
    Commands print it without a traceback and exit with code 2.
    """


def shortlist(names: Sequence[str]) -> str:
    """The first few of ``names`` and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
