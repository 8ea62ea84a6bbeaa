"""The end of a Ray cluster of this machine alone: its helpers outlive the sweep that started it when that is killed."""

import subprocess
import sys
from contextlib import suppress

# Reads until the pipe ends, which it does however the one at its other end dies. Ray's processes name their session,
# which is of this sweep alone, on their command lines.
_WATCH = """
import os, signal, sys, time
sys.stdin.buffer.read()
session = os.fsencode(sys.argv[1])
for seconds in (1, 3, 0):
    found = False
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read()
            if session in words and int(entry) != os.getpid():
                found = True
                os.kill(int(entry), signal.SIGKILL)
        except OSError:
            pass
    if not found:
        break
    time.sleep(seconds)  # what they have started meanwhile
"""


class Ending:
    """Ends the processes of a session when this process has died, or when it is told to.

    Args:
        session: the folder of Ray's session.
    """

    def __init__(self, session: str) -> None:
        command = [sys.executable, "-S", "-E", "-c", _WATCH, session]
        nowhere = subprocess.DEVNULL
        self._watch = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True
        )

    def now(self) -> None:
        """After Ray's own shutdown: what it has left is ended."""
        if self._watch.stdin is not None:
            self._watch.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._watch.wait(10)
