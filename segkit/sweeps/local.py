"""Jobs on this machine, one after the other, each in a process of its own.

The processes are forked from a server that has imported the heavy libraries once. Each leads a session and a process
group of its own: Ctrl-C in the terminal is the sweep's alone, and all that a job has started can be ended with it.
"""

import faulthandler
import os
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from segkit.distributed.cores import LIMIT, cores
from segkit.distributed.forkserver import BLOCKED, server_context
from segkit.distributed.processes import die_with_parent
from segkit.sweeps.job import Job, Outcome
from segkit.sweeps.run_job import CONSOLE, one_line, record_death, run_job

HEAVY = (
    "segkit.sweeps.local",
    "segkit.training.fit",
    "segkit.distributed.launch",
    "segkit.predict.predictor",
    "segkit.road.dataset",
    "segkit.predict.writers",
    "albumentations",
    "torch.utils.tensorboard",
)
"""What a run imports, in this order: segkit.data tells albumentations not to look for updates."""

NOT_BEGUN = Outcome("interrupted", "stopped before it began")


@dataclass
class _Running:
    job: Job
    process: ForkServerProcess
    outcome: Connection
    began: float


class LocalPool:
    """A pool that runs jobs on this machine.

    Args:
        slots: how many at once.
        cores_per_job: processor cores of each; None = its part of the machine's.
    """

    def __init__(self, slots: int = 1, cores_per_job: int | None = None) -> None:
        self.slots: int | None = slots
        self._room = slots
        # A job that has the machine to itself is as it would be without a sweep.
        self._cores = cores_per_job or (max(1, cores() // slots) if slots > 1 else None)
        self._waiting: deque[Job] = deque()
        self._running: list[_Running] = []
        self._ended: list[tuple[Job, Outcome]] = []
        self._stopping = False

    def submit(self, job: Job) -> None:
        """Run the job as soon as there is room. The first time, this waits until the libraries are imported."""
        self._waiting.append(job)
        self._start_waiting()

    def wait(self, seconds: float) -> list[tuple[Job, Outcome]]:
        if self._running and not self._ended:
            connection.wait([running.process.sentinel for running in self._running], seconds)
        for running in [running for running in self._running if not running.process.is_alive()]:
            self._running.remove(running)
            self._ended.append((running.job, self._outcome(running)))
        self._start_waiting()
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> None:
        self._ended += [(job, NOT_BEGUN) for job in self._waiting]
        self._waiting.clear()
        for running in self._running:
            if self._stopping:
                running.process.kill()
                _end_group(running.process)
            else:
                running.process.terminate()
        self._stopping = True

    def close(self) -> None:
        """End the jobs that still run."""
        self._waiting.clear()
        self._stopping = True
        self.stop()
        for running in self._running:
            running.process.join()
            running.outcome.close()
        self._running.clear()

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._room:
            job = self._waiting[0]
            receiver, sender = connection.Pipe(duplex=False)
            with sender:
                arguments = (job, sender, self._cores, dict(os.environ))
                process = server_context(HEAVY).Process(target=process_main, args=arguments)
                began = time.time()
                process.start()
            # Not before: Ctrl-C in the midst of it leaves the job waiting, and its process dies with ``process``.
            self._running.append(_Running(self._waiting.popleft(), process, receiver, began))

    def _outcome(self, running: _Running) -> Outcome:
        process = running.process
        _end_group(process)
        try:
            return running.outcome.recv()
        except (EOFError, OSError):  # nothing, or half of it
            outcome = _of_exit_code(process.exitcode, self._stopping)
            record_death(running.job, outcome, running.began)
            return outcome
        finally:
            running.outcome.close()
            process.close()


def _end_group(process: ForkServerProcess) -> None:
    """Kill what a job has started: loader processes do not notice that it has died."""
    assert process.pid is not None
    with suppress(ProcessLookupError):  # it had not begun, or nothing is left
        os.killpg(process.pid, signal.SIGKILL)


def _of_exit_code(code: int | None, stopping: bool) -> Outcome:
    """What became of a process that has not said it."""
    if code is None or code >= 0:
        return Outcome("failed", f"its process ended with code {code}, see {CONSOLE}")
    name = signal.Signals(-code).name
    if -code == signal.SIGTERM or (stopping and -code == signal.SIGKILL):
        return Outcome("interrupted", name)
    hint = " (out of memory?)" if -code == signal.SIGKILL else f", see {CONSOLE}"
    return Outcome("failed", f"killed by {name}{hint}")


def process_main(job: Job, sender: Connection, cores_per_job: int | None, environment: dict[str, str]) -> None:
    """The whole life of a job's process: its outcome is sent to the pool, what it prints goes to the job's folder."""
    os.setsid()
    os.environ.update(environment)  # the server has that of its start, and GPUs are named there
    die_with_parent(group=True)  # or it would hold its folder against the same sweep, started again
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops one that came before the process had its own session
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        with open(job.folder / CONSOLE, "ab") as console:
            for descriptor in (1, 2):
                os.dup2(console.fileno(), descriptor)
    except OSError as error:
        sender.send(Outcome("failed", one_line(str(error))))
        return
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()
    if cores_per_job is not None:
        _use_cores(cores_per_job)
    sender.send(run_job(job))
    # All is written. What hangs in a library's cleaning up must not keep the next job waiting.
    sys.stdout.flush()
    os._exit(0)


def _use_cores(count: int) -> None:
    import torch

    os.environ[LIMIT] = str(count)
    os.environ.pop("OMP_NUM_THREADS", None)  # a scheduler's; processes that the job starts divide the cores
    torch.set_num_threads(count)


def run_here(job: Job, cores_per_job: int) -> Outcome:
    """Run one job, on this machine, in a place that a scheduler has found for it. KeyboardInterrupt stops the job.

    The scheduler has chosen the GPUs, which are all that can be seen here: ``trainer.gpus=[2,3]`` becomes 2.
    """
    trainer = job.settings.get("trainer")
    if isinstance(trainer, dict) and isinstance(trainer.get("gpus"), list):
        settings = job.settings | {"trainer": trainer | {"gpus": len(trainer["gpus"])}}
        job = replace(job, settings=settings)
    pool = LocalPool(cores_per_job=cores_per_job)
    try:
        try:
            pool.submit(job)
            return _ended(pool)
        except KeyboardInterrupt:
            pool.stop()
            return _ended(pool)
    finally:
        pool.close()


def _ended(pool: LocalPool) -> Outcome:
    while True:
        for _, outcome in pool.wait(0.5):  # short, since Ray's cancelling does not wake a process up
            return outcome
