"""Processes that are forked from a server, which has imported what they need once."""

import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext

BLOCKED = {signal.SIGINT, signal.SIGTERM}


def server_context(imports: Sequence[str]) -> ForkServerContext:
    """A context whose processes inherit neither CUDA's state nor another thread's locks, and still start fast.

    ``imports`` are the modules that the server imports. It and what it forks have SIGINT and SIGTERM blocked: terminals
    and schedulers send them to all processes, and the one that was started by hand alone decides what comes of it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(imports))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)  # again: starting the tracker unblocks them
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context
