"""A pool that trains nothing: jobs end by a function, and leave in their folders what runs leave."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segkit.config.schema import TrainSettings, validate
from segkit.errors import UserError
from segkit.sweeps.job import Job, Outcome


def write_run(job: Job, status: str, **result: Any) -> None:
    """The run folder of a job: its config, and a result with ``status``."""
    (job.folder / ".hydra").mkdir(parents=True, exist_ok=True)
    for name, text in job.files.items():
        (job.folder / ".hydra" / name).write_text(text)
    (job.folder / "result.json").write_text(json.dumps({"status": status, **result}))


def finished(score: float) -> Callable[[Job], Outcome]:
    return lambda job: Outcome("finished", score=score)


class FakePool:
    """Each ``wait`` ends the job that was handed out first."""

    def __init__(self, run: Callable[[Job], Outcome], slots: int | None = 1) -> None:
        self.run, self.slots = run, slots
        self.queue: list[Job] = []
        self.jobs: list[Job] = []
        self.most = self.stops = 0
        self.closed = False

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        self.queue.append(job)
        self.most = max(self.most, len(self.queue))

    def wait(self, seconds: float) -> list[tuple[Job, Outcome]]:
        if not self.queue:
            return []
        job = self.queue.pop(0)
        if self.stops:
            return [(job, Outcome("interrupted", "SIGTERM"))]
        try:
            validate(TrainSettings, job.settings)
            write_run(job, "running")
            outcome = self.run(job)
        except UserError as error:
            outcome = Outcome("failed", str(error))
        monitor = job.settings["trainer"]["monitor"].removeprefix("val/")
        about = {"started": 100.0, "ended": 142.0, "host": "here", "devices": "3"}
        write_run(job, outcome.status, reason=outcome.reason, scores={monitor: outcome.score}, epochs=[], **about)
        return [(job, outcome)]

    def stop(self) -> None:
        self.stops += 1

    def close(self) -> None:
        self.closed = True


def folders(place: Path) -> list[str]:
    """The run folders in a sweep's folder."""
    return sorted(path.name for path in place.iterdir() if (path / ".hydra").is_dir())
