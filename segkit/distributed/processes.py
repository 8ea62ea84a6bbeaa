"""What child processes have in common."""

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait


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

    threading.Thread(target=watch, daemon=True).start()
