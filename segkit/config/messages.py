"""Mistakes of the user's as they are printed: one or two lines, without what libraries say of their own objects."""

import errno
import re

from hydra.errors import HydraException, OverrideParseException

from segkit.errors import UserError, printable

WRONG = (errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO)
"""Errors of the system that are no matter of room or rights."""

_NOISE = ("full_key:", "object_type=", "provider=", "Config search path")


def readable(error: Exception) -> str:
    """The message of a mistake of the user's."""
    text = str(error).strip()
    if isinstance(error, UserError):
        # torch hands on what a loader process raised as a traceback in words; the message is its end.
        return text.rsplit("UserError: ", 1)[-1] if "Original Traceback" in text else text
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        name = printable(error.filename)
        return f"{name}: {error.strerror}; " + (
            "give another one" if error.errno in WRONG else "make room, or give another place"
        )
    if isinstance(error, OverrideParseException):
        reason = text.splitlines()[0]
        return f"{error.override}: cannot be read; put values with blanks or odd characters in quotes ({reason})"
    missing = re.search(r"Missing mandatory value: (\S+)", text)
    if missing:
        return f"{missing.group(1)} is missing: give {missing.group(1)}=…"
    where = re.search(r"full_key: (\S+)", text)
    place = f"{where.group(1)}: " if where else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return place + " ".join(line for line in lines if not line.startswith(_NOISE))
