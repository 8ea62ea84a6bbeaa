"""What child processes have in common."""

import ctypes
import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import wait

PR_SET_PDEATHSIG = 1


def die_with_parent(group: bool = False) -> None:
    """End this process, made by ``multiprocessing``, when the process that made it has died, however that died.

    A process that went on alone would hold the run folder's lock, or a GPU, against the next one. The parent is the one
    that asked for this process, also where a fork server made it. ``group``: end all of its process group, which it has
    to lead.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        if group:
            os.killpg(0, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    with suppress(AttributeError):  # Linux's; a process that was stopped would not notice, and stay for ever
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGCONT))
    threading.Thread(target=watch, daemon=True).start()
