"""Loader processes: how many, how they start, and who handles Ctrl-C."""

import signal
from traceback import walk_tb

import cv2
import torch

from segkit.data.memory import keep_freed_memory
from segkit.distributed.cores import cores
from segkit.distributed.forkserver import BLOCKED
from segkit.distributed.processes import die_with_parent

MOST_WORKERS = 8


def worker_count(processes: int) -> int:
    """Loader processes for each of ``processes`` training processes; on 2 cores or fewer they would only be in the
    way of the training itself."""
    return 0 if cores() <= 2 else max(1, min(MOST_WORKERS, cores() // processes))


def is_worker_lost(error: BaseException) -> bool:
    """Whether an error is what torch or Python raises where a worker has died: it says so, or its tensors are gone."""
    steps = walk_tb(error.__traceback__)
    lost = any(frame.f_globals.get("__name__") == "multiprocessing.resource_sharer" for frame, _ in steps)
    return lost or (isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker"))


def start_worker(worker_id: int) -> None:
    """Runs first in every worker process."""
    die_with_parent()  # torch's own watch looks for the server that a worker was forked from, which lives on
    # For a server that someone else started: the main process alone decides how an interrupted run ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)  # SIGTERM is how a loader ends its workers
    # The workers are the parallelism; threads inside them would fight for the same cores.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    keep_freed_memory()
