"""Loader processes: how many, how they start, and who handles Ctrl-C."""

import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext

import cv2
import torch

from segkit.cores import cores

MOST_WORKERS = 8


def worker_count(processes: int) -> int:
    """Loader processes for each of ``processes`` training processes; on 2 cores or fewer they would only be in the
    way of the training itself."""
    return 0 if cores() <= 2 else max(1, min(MOST_WORKERS, cores() // processes))


def worker_context(imports: Sequence[str]) -> BaseContext:
    """Workers that inherit neither CUDA's state nor another thread's locks, and still start fast: they are forked from
    a server process that has imported ``imports`` once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(imports))
    # Ctrl-C reaches the whole process group, also workers that have not come as far as start_worker: the server, and
    # what it forks, inherit the blocked signal. The tracker goes first because starting it unblocks the signal.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def start_worker(worker_id: int) -> None:
    """Runs first in every worker process."""
    # For a server that someone else started: the main process alone decides how an interrupted run ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The workers are the parallelism; threads inside them would fight for the same cores.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
