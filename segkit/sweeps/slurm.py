"""Jobs of a sweep as jobs of SLURM, submitted through submitit (``hydra/launcher=slurm``).

SLURM only finds each job its place: in it, the job has a process of its own, as everywhere
(:mod:`segkit.sweeps.local`). Nothing of submitit is imported before a pool is made.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.errors import UserError
from segkit.sweeps.job import Job, Outcome
from segkit.sweeps.local import NOT_BEGUN, run_here
from segkit.sweeps.run_job import one_line, record_death

if TYPE_CHECKING:
    import submitit

CLUSTERS = ("slurm", "local")
ASKED_EVERY = 0.5
"""Seconds between two looks for the results of jobs."""


@dataclass(frozen=True)
class _Submitted:
    job: Job
    handle: "submitit.Job[Outcome]"
    when: float


class SlurmPool:
    """A pool that submits jobs to SLURM, each as soon as it comes.

    Args:
        folder: for what submitit and SLURM write; all machines have to see it.
        launcher: ``hydra.launcher``, as in ``conf/hydra/launcher/slurm.yaml``.
        gpus_per_job, cpus_per_job: GPUs and processor cores of each job.

    Raises:
        UserError: submitit is not installed, this machine has no SLURM, or the settings are wrong.
    """

    def __init__(self, folder: Path, launcher: Mapping[str, Any], gpus_per_job: int, cpus_per_job: int) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UserError("hydra/launcher=slurm needs submitit: pip install -e '.[sweep]'") from error
        cluster = launcher["cluster"]
        if cluster not in CLUSTERS:
            raise UserError(f"hydra.launcher.cluster={cluster}: should be slurm or local")
        self._submitit = submitit
        try:
            self._executor = submitit.AutoExecutor(folder, cluster)
        except RuntimeError as error:
            hint = "call it on a machine that has srun, or try it out with hydra.launcher.cluster=local"
            raise UserError(f"hydra/launcher=slurm: no SLURM here; {hint}") from error
        try:
            self._executor.update_parameters(
                name="segkit",
                nodes=1,
                tasks_per_node=1,
                timeout_min=launcher["timeout_min"],
                gpus_per_node=gpus_per_job or None,
                cpus_per_task=cpus_per_job,
                slurm_partition=launcher["partition"],
                slurm_account=launcher["account"],
                slurm_additional_parameters=launcher["additional_parameters"],
            )
        except (AssertionError, NameError, TypeError, ValueError) as error:
            raise UserError(f"hydra.launcher: {one_line(str(error))}") from error
        self._local = cluster == "local"
        self.slots: int | None = 1 if self._local else None  # there, submitit has no queue
        self._task = SlurmTask(cpus_per_job)
        self._waiting: deque[Job] = deque()
        self._submitted: list[_Submitted] = []
        self._ended: list[tuple[Job, Outcome]] = []
        self._stopping = False

    def submit(self, job: Job) -> None:
        """Hand the job to SLURM.

        Raises:
            UserError: SLURM refuses it.
        """
        self._waiting.append(job)
        self._submit_waiting()

    def wait(self, seconds: float) -> list[tuple[Job, Outcome]]:
        until = time.monotonic() + seconds
        while self._submitted and not self._ended:
            for submitted in [submitted for submitted in self._submitted if submitted.handle.done()]:
                self._submitted.remove(submitted)
                self._ended.append((submitted.job, self._outcome(submitted)))
            left = until - time.monotonic()
            if self._ended or left <= 0:
                break
            time.sleep(min(ASKED_EVERY, left))
        self._submit_waiting()
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> None:
        """Ask running jobs to end after the batch at hand, and drop those that have not begun. After a second call
        SLURM is no longer waited for: it ends them half a minute after the first."""
        self._ended += [(job, NOT_BEGUN) for job in self._waiting]
        self._waiting.clear()
        if self._stopping and not self._local:
            self._ended += [(submitted.job, Outcome("interrupted", "left to SLURM")) for submitted in self._submitted]
            self._submitted.clear()
        self._stopping = True
        self.close()

    def close(self) -> None:
        """Cancel jobs that still run."""
        for submitted in self._submitted:
            if self._local:  # as SLURM does it; submitit would give a job no time to end
                with suppress(ProcessLookupError):
                    os.kill(int(submitted.handle.job_id), signal.SIGTERM)
            else:
                submitted.handle.cancel(check=False)

    def _submit_waiting(self) -> None:
        while self._waiting and (self.slots is None or len(self._submitted) < self.slots):
            job = self._waiting.popleft()
            # Ctrl-C is the sweep's alone: submitit's processes on this machine have it blocked, sbatch runs to its end.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                handle = self._executor.submit(self._task, job)
            except (self._submitit.core.utils.FailedJobError, self._submitit.core.utils.FailedSubmissionError) as error:
                raise UserError(f"hydra/launcher=slurm: the job was refused: {one_line(str(error))}") from error
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._submitted.append(_Submitted(job, handle, time.time()))

    def _outcome(self, submitted: _Submitted) -> Outcome:
        handle = submitted.handle
        if not (self._stopping and not handle.paths.result_pickle.exists()):  # else it would be waited for
            try:
                return handle.result()
            except (self._submitit.core.utils.FailedJobError, self._submitit.core.utils.UncompletedJobError):
                pass
        state = handle.state
        if self._stopping or state.startswith("CANCELLED"):
            outcome = Outcome("interrupted", "cancelled")
        else:
            outcome = Outcome("failed", f"SLURM job {handle.job_id} ended as {state}, see {handle.paths.stderr}")
        record_death(submitted.job, outcome, submitted.when)
        return outcome


class SlurmTask:
    """What SLURM runs: one job, in a process of its own.

    Args:
        cpus: the job's processor cores.
    """

    def __init__(self, cpus: int) -> None:
        self.cpus = cpus

    def __call__(self, job: Job) -> Outcome:
        # SLURM cancels with SIGTERM, and SIGKILL half a minute later; submitit would let the first pass.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return run_here(job, self.cpus)

    def checkpoint(self, job: Job) -> Any:
        """Called by submitit shortly before the time limit: the same again, which goes on from the job's folder."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job)
