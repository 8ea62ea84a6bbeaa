"""Processes that are forked from a server, which has imported what they need once."""

import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from tempfile import gettempdir

from segkit.errors import UserError

BLOCKED = {signal.SIGINT, signal.SIGTERM}


def server_context(imports: Sequence[str]) -> ForkServerContext:
    """A context whose processes inherit neither CUDA's state nor another thread's locks, and still start fast.

    ``imports`` are the modules that the server imports. It and what it forks have SIGINT and SIGTERM blocked: terminals
    and schedulers send them to all processes, and the one that was started by hand alone decides what comes of it.

    Raises:
        UserError: the system's folder of temporary files has too long a name for sockets in it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(imports))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)  # again: starting the tracker unblocks them
        forkserver.ensure_running()
    except OSError as error:
        if "AF_UNIX" not in str(error):
            raise
        raise UserError(
            f"TMPDIR={gettempdir()}: too long a name for sockets to lie there; set a shorter one"
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context
