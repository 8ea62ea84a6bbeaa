"""Jobs on all GPUs of this machine, or of a cluster, queued by Ray (``hydra/launcher=gpus``).

Ray only finds each job its place: in it, the job has a process of its own, as everywhere (:mod:`segkit.sweeps.local`).
Nothing of Ray is imported before a pool is made.
"""

import logging
import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segkit.distributed.cores import cores
from segkit.errors import UserError
from segkit.sweeps.job import Job, Outcome
from segkit.sweeps.local import NOT_BEGUN, run_here
from segkit.sweeps.ray_session import Ending
from segkit.sweeps.run_job import one_line, record_death

if TYPE_CHECKING:
    from ray import ObjectRef

OBJECT_STORE = 80 << 20
"""Bytes of shared memory, the least that Ray takes: only jobs and outcomes go through it."""

REACHED_WITHIN = 5.0
"""Seconds in which the head of a cluster has to answer; Ray itself would try for minutes."""

DYING = 5.0
"""Seconds in which a job dies whose process of Ray's has died."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Submitted:
    job: Job
    when: float


class RayPool:
    """A pool that runs jobs on a Ray cluster, as many at once as have room.

    Args:
        gpus_per_job: GPUs that each job holds, 0.5 = two jobs share one; None = one where there are any. With 0, or
            where there are none, a job runs on the CPU.
        cpus_per_job: processor cores that each job on the CPU holds. One on GPUs has as large a part of its machine's
            cores as of its GPUs.
        address: of a running cluster's head, ``host:port``; ``auto`` = the one running here; None = this machine alone.

    Raises:
        UserError: Ray is not installed, there is no such cluster, or a job asks for more than this machine has.
    """

    slots: int | None = None

    def __init__(self, gpus_per_job: float | None, cpus_per_job: int, address: str | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise UserError("hydra/launcher=gpus needs Ray: pip install -e '.[sweep]'") from error
        if gpus_per_job is not None and gpus_per_job > 1 and gpus_per_job % 1:
            raise UserError(
                f"sweep.gpus_per_job={gpus_per_job:g}: should be a whole number, or less than 1 to share one"
            )
        self._ray = ray
        session = _join(ray, address)
        self._ending = Ending(session) if address is None else None
        try:
            machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            most = {kind: max(machine.get(kind, 0) for machine in machines) for kind in ("GPU", "CPU")}
            gpus = (1 if most["GPU"] else 0) if gpus_per_job is None else gpus_per_job
            _check_room("sweep.gpus_per_job", "GPU", gpus, most["GPU"], own=address is None)
            if not gpus:
                _check_room("sweep.cpus_per_job", "core", cpus_per_job, most["CPU"], own=address is None)
        except UserError:
            self.close()
            raise
        # Ray may use its processes again, since jobs have their own: what those are forked from has been imported then.
        # Cores are not counted beside GPUs: a rounded part of them could keep a free GPU from being taken.
        place = ray.remote(num_gpus=gpus, num_cpus=0 if gpus else cpus_per_job, max_calls=0, max_retries=0)
        self._place = place(_run_in_place)
        self._arguments = (gpus, cpus_per_job)
        self._submitted: dict[ObjectRef, _Submitted] = {}
        self._stopping = False
        self._killed: list[ObjectRef] = []

    def submit(self, job: Job) -> None:
        self._submitted[self._place.remote(job, *self._arguments)] = _Submitted(job, time.time())

    def wait(self, seconds: float) -> list[tuple[Job, Outcome]]:
        if not self._submitted:
            return []
        ended, _ = self._ray.wait(list(self._submitted), timeout=seconds)
        if ended:  # others may have, too
            ended, _ = self._ray.wait(list(self._submitted), num_returns=len(self._submitted), timeout=0)
        return [(self._submitted[ref].job, self._outcome(ref)) for ref in ended]

    def stop(self) -> None:
        if self._stopping and self._submitted:
            _, self._killed = self._ray.wait(list(self._submitted), num_returns=len(self._submitted), timeout=0)
        for ref in self._submitted:
            self._ray.cancel(ref, force=self._stopping)
        self._stopping = True

    def close(self) -> None:
        """Leave the cluster; one of this machine alone ends. Jobs that still run are ended."""
        self._ray.shutdown()
        if self._ending is not None:
            self._ending.now()

    def _outcome(self, ref: "ObjectRef") -> Outcome:
        submitted = self._submitted.pop(ref)
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            if ref in self._killed:
                outcome = Outcome("interrupted", "SIGKILL")
            elif isinstance(error, self._ray.exceptions.TaskCancelledError):
                return NOT_BEGUN
            else:
                lines = str(error).strip().splitlines()
                text = lines[-1] if isinstance(error, self._ray.exceptions.RayTaskError) else lines[0]
                outcome = Outcome("failed", one_line(f"its place was lost: {text}"))
            record_death(submitted.job, outcome, submitted.when, within=DYING)
            return outcome


def _join(ray: Any, address: str | None) -> str:
    """Join the cluster; the folder of its session."""
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        here = ray.init("local", num_cpus=cores(), object_store_memory=OBJECT_STORE, **quiet)
        return str(here.address_info["session_dir"])
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit():
                raise UserError(f"sweep.address={address}: should be auto, or host:port of the cluster's head")
            socket.create_connection((host, int(port)), REACHED_WITHIN).close()
        return str(ray.init(address, **quiet).address_info["session_dir"])
    except (OSError, RuntimeError) as error:
        if "AuthToken" in str(error.__cause__):
            hint = (
                "the cluster asks for its token: set RAY_AUTH_MODE=token, with the head's ~/.ray/auth_token here, too"
            )
        else:
            where = "on this machine" if address == "auto" else "there"
            hint = f"no Ray cluster runs {where}; ray start --head starts one, no sweep.address uses this machine alone"
        raise UserError(f"sweep.address={address}: {hint} ({one_line(str(error))})") from error


def _check_room(key: str, what: str, asked: float, there: float, own: bool) -> None:
    """Of a cluster's machines, the largest counts. A cluster may get larger ones."""
    if asked <= there:
        return
    has = f"{there:g} {what}{'' if there == 1 else 's'}"
    if own:
        raise UserError(f"{key}={asked:g}: this machine has {has}; ask for no more")
    log.warning("%s=%g: the largest machine of the cluster has %s; waiting for a larger one", key, asked, has)


def _run_in_place(job: Job, gpus: float, cpus: int) -> Outcome:
    """Runs in a process of Ray's, which sees the GPUs that the job may use. Cancelling arrives as KeyboardInterrupt."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    machine = next(node["Resources"] for node in ray.nodes() if node["NodeID"] == here)
    if gpus:
        return run_here(job, max(1, int(machine.get("CPU", 1) * gpus / machine["GPU"])))
    if machine.get("GPU"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the job holds none, so it must not find any
    return run_here(job, cpus)
