"""Where a sweep's jobs come from: what a source of jobs offers, and the plainest one, all combinations."""

import math
from typing import Any, Protocol

from segkit.runs.monitor import mode
from segkit.runs.read import is_locked, read_result
from segkit.sweeps.job import Job, Outcome
from segkit.sweeps.plan import Plan, first_valid


class Source(Protocol):
    """Where a sweep's jobs come from."""

    total: int
    """How many there are, those included that are done already."""
    settings: dict[str, Any]
    """Valid settings of one of them."""

    def pending(self) -> bool:
        """Whether any of them has to be run. The sweep's folder is there, and ours."""

    def begin(self) -> int:
        """Called once, before ``next``. Returns how many are done and will not be given out again."""

    def wants(self, running: int, queued: int, slots: int | None) -> bool:
        """Whether another one may be handed out beside those that have been."""

    def next(self) -> Job | None:
        """Another job; None when there is none."""

    def ended(self, job: Job, outcome: Outcome) -> None:
        """What became of a job, now or earlier."""

    def best(self) -> tuple[Job, float] | None:
        """The job with the best score; None where there is none, or jobs have scores of different kinds."""


class Grid:
    """All combinations of the swept values.

    Raises:
        UserError: none of them has valid settings.
    """

    def __init__(self, plan: Plan) -> None:
        # Values that mean the same are one job.
        self.jobs = list({job.folder: job for job in map(plan.job, plan.combinations())}.values())
        self.settings = first_valid(self.jobs).settings
        self.total = len(self.jobs)
        self._left = list(self.jobs)
        self._scored: list[tuple[Job, float]] = []

    def pending(self) -> bool:
        return any(done_before(job) is None and not is_locked(job.folder) for job in self.jobs)

    def begin(self) -> int:
        return 0

    def wants(self, running: int, queued: int, slots: int | None) -> bool:
        return True  # the pool knows best when there is room

    def next(self) -> Job | None:
        return self._left.pop(0) if self._left else None

    def ended(self, job: Job, outcome: Outcome) -> None:
        if outcome.status == "finished" and outcome.score is not None and math.isfinite(outcome.score):
            self._scored.append((job, outcome.score))

    def best(self) -> tuple[Job, float] | None:
        kinds = {monitored(job) for job, _ in self._scored}
        if len(kinds) != 1:
            return None
        better = min if mode(kinds.pop()) == "min" else max
        return better(self._scored, key=lambda pair: pair[1])


def monitored(job: Job) -> str:
    """The score that a job is judged by."""
    return str(job.settings["trainer"]["monitor"])


def done_before(job: Job) -> Outcome | None:
    """What an earlier sweep has made of a job; None if it has to be run."""
    result = read_result(job.folder)
    status = result.get("status")
    if status not in ("finished", "pruned"):
        return None
    score = result.get("scores", {}).get(monitored(job).removeprefix("val/"))
    return Outcome(status, str(result.get("reason", "")), score)
