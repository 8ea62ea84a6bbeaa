"""Jobs of a sweep as training jobs of SageMaker (``hydra/launcher=sagemaker``), a few at once.

Each writes its run folder to ``<output>/sweeps/<name>/<job>``. When it ends that is fetched to where every launcher
leaves it, so what was finished is skipped, and reported, as anywhere. One that was cut off goes on from there, since
SageMaker brings the folder to the next job that is given the same one.
"""

import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from segkit.config.schema import JobSettings, Strict, validate
from segkit.console import console
from segkit.errors import UserError
from segkit.remote.address import Address
from segkit.remote.s3 import S3
from segkit.runs.files import write_whole
from segkit.runs.folder import RunFolder
from segkit.sagemaker.request import estimate, job_name, name_part, price, training_job
from segkit.sagemaker.service import ENDED, SageMaker, ask, fetch, send
from segkit.sagemaker.source import pack
from segkit.sweeps.grid import done_before
from segkit.sweeps.job import Job, Outcome
from segkit.sweeps.local import NOT_BEGUN
from segkit.sweeps.run_job import one_line, record

NOT_SENT = ("sweep.", "data.root=")


class _HydraLauncher(Strict):
    launcher: JobSettings


class _HydraSettings(Strict):
    hydra: _HydraLauncher


@dataclass(frozen=True)
class _Started:
    job: Job
    name: str
    run: str
    folder: RunFolder
    when: float


class SageMakerPool:
    """A pool that starts a training job for each job, ``max_jobs`` at once.

    Args:
        launcher: ``hydra.launcher``, as in ``conf/hydra/launcher/sagemaker.yaml``.
        sweep_folder: the sweep's.

    Raises:
        UserError: wrong settings, no AWS, or no wish to pay.
    """

    def __init__(self, launcher: Mapping[str, Any], sweep_folder: Path) -> None:
        validate(_HydraSettings, {"hydra": {"launcher": dict(launcher)}})
        self.about = JobSettings(**launcher)
        self.slots: int | None = self.about.max_jobs
        self._service, self._source = SageMaker(), pack(Path.cwd())
        outputs = Path("outputs").resolve()
        inside = sweep_folder.resolve().is_relative_to(outputs)
        names = sweep_folder.resolve().relative_to(outputs).parts if inside else (sweep_folder.name,)
        self._place = "/".join([str(self.about.output).rstrip("/"), *names])
        self._waiting: deque[Job] = deque()
        self._running: list[_Started] = []
        self._ended: list[tuple[Job, Outcome]] = []
        self._stopping = False
        self._asked = 0.0
        self._billed = 0
        self._trouble = ""
        if self._source.note:
            console.print(self._source.note, markup=False)
        console.print(f"each job: {estimate(self.about)}", markup=False)
        if not ask("start them?"):
            raise UserError("not started")

    def submit(self, job: Job) -> None:
        """Start the job as soon as there is room.

        Raises:
            UserError: SageMaker refuses it.
        """
        self._waiting.append(job)
        self._start_waiting()

    def wait(self, seconds: float) -> list[tuple[Job, Outcome]]:
        until = time.monotonic() + seconds
        due = self._asked + self.about.poll_seconds
        if not self._ended and due > time.monotonic():
            time.sleep(max(0.0, min(due, until) - time.monotonic()))
        if due <= time.monotonic():
            self._look()
            self._asked = time.monotonic()
        self._start_waiting()
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> None:
        """Ask running jobs to end after the batch at hand, and drop those that have not begun. After a second call
        SageMaker is no longer waited for: it ends them two minutes after the first."""
        self._ended += [(job, NOT_BEGUN) for job in self._waiting]
        self._waiting.clear()
        if self._stopping:
            for started in self._running:
                started.folder.close()
                self._ended.append((started.job, Outcome("interrupted", "left to SageMaker")))
            self._running.clear()
        self._stopping = True
        self.close()

    def close(self) -> None:
        """Stop jobs that still run, and say what all have cost."""
        for started in self._running:
            with suppress(UserError):
                self._service.stop(started.name)
        each = price(self.about)
        if self._billed and not self._running and each is not None:
            console.print(f"billed for {self._billed} s, about ${self._billed / 3600 * each:.2f}", markup=False)
            self._billed = 0

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self.about.max_jobs:
            self._running.append(self._start(self._waiting.popleft()))

    def _start(self, job: Job) -> _Started:
        nodes = job.settings["trainer"]["num_nodes"]
        if nodes != self.about.instance_count:
            raise UserError(
                f"hydra.launcher.instance_count={self.about.instance_count}: give trainer.num_nodes as many"
            )
        own = [source["path"] for source in yaml.safe_load(job.files["hydra.yaml"])["runtime"]["config_sources"]
               if source["provider"] == "command-line"]  # fmt: skip
        if own and Path(own[0]) != job.cwd / "conf":
            raise UserError("--config-dir: a job finds config files in conf/ of its source alone; put yours there")
        folder = RunFolder(job.folder)
        try:
            folder.check_owner(job.files, resuming=True)
            folder.write_config(job.files)
            run, key = f"{self._place}/{job.folder.name}", job.folder.name[-8:]
            name = self._still_running(key, run)
            if name is None:
                words = [word for word in yaml.safe_load(job.files["overrides.yaml"]) if not word.startswith(NOT_SENT)]
                # Which the container would else raise to all that there are, and so train something else.
                words = [*words, f"trainer.gpus={job.settings['trainer']['gpus']}".replace(" ", "")]
                name = job_name(f"{name_part(self._place.rpartition('/')[2])[:30]}-{key}")
                request = training_job(self.about, name, run, words, job.settings, self._source)
                self._source.upload(str(self.about.output))
                if folder.last.exists():
                    send(job.folder, run)
                self._service.start(request)
        except BaseException:
            folder.close()
            raise
        return _Started(job, name, run, folder, time.time())

    def _still_running(self, key: str, run: str) -> str | None:
        """The job that an earlier sweep, which has died, has left at work on the same run folder."""
        for found in self._service.latest(NameContains=f"-{key}-", StatusEquals="InProgress"):
            name = str(found["TrainingJobName"])
            if self._service.describe(name).get("CheckpointConfig", {}).get("S3Uri") == run:
                return name
        return None

    def _look(self) -> None:
        for started in list(self._running):
            try:
                about = self._service.describe(started.name)
                if about["TrainingJobStatus"] not in ENDED:
                    text = S3(Address.parse(started.run, started.run), started.run).get_text("result.json")
                    if text is not None:  # for those who look on
                        write_whole(started.job.folder / "result.json", text.encode())
                    continue
            except UserError as error:  # the jobs are not hurt by a network that is down for a while
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    console.print(f"{error}; asking again", markup=False)
                continue
            outcome = _outcome(started, about)
            self._running.remove(started)
            self._billed += about.get("BillableTimeInSeconds", 0)
            record(started.job.folder, outcome, started.when)
            started.folder.close()
            self._ended.append((started.job, outcome))


def _outcome(started: _Started, about: Mapping[str, Any]) -> Outcome:
    """What became of a job that has ended. Its run folder is fetched, as far as there is one."""
    status = about["TrainingJobStatus"]
    reason = about.get("FailureReason") or about["SecondaryStatus"]
    try:
        fetch(started.run, started.job.folder, but=("checkpoints/last.ckpt",) if status == "Completed" else ())
    except UserError as error:
        if status == "Completed":  # else it may well have ended before it began
            reason = str(error)
    done = done_before(started.job) if status == "Completed" else None
    return done or Outcome("interrupted" if status == "Stopped" else "failed", one_line(f"{started.name}: {reason}"))
