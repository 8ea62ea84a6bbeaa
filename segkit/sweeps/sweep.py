"""``segkit train -m``: runs what has not been run yet, records it, and says at the end what came of it.

The loop asks a source for jobs (all combinations, or the trials of a study), leaves out what is done, and hands the
rest to a pool. What a job has come to stands in its run folder, so the same command goes on where the last one stopped.
"""

import os
import shlex
import signal
from pathlib import Path
from types import FrameType

from segkit.console import duration
from segkit.errors import UserError
from segkit.runs.identity import NOT_COUNTED
from segkit.runs.read import is_locked
from segkit.sweeps.display import Display, shown
from segkit.sweeps.grid import Grid, Source, done_before, monitored
from segkit.sweeps.job import Job, Outcome, Pool, Train
from segkit.sweeps.plan import Plan
from segkit.sweeps.pools import make_pool
from segkit.sweeps.record import Record, owned

WAIT = 0.5
"""Seconds until a signal, or what is shown, is looked at again."""


def run_sweep(flags: list[str], words: list[str], train: Train) -> int:
    """Run a sweep. Returns the exit code: 1 where a job has failed, 128 + the signal's number after a signal.

    Args:
        flags: Hydra's options on the command line.
        words: the settings.
        train: what trains a job, ``segkit.commands.train.run``.

    Raises:
        UserError, HydraException: nothing can be run so. Nothing has been written then.
    """
    if any(int(os.environ.get(name, "1")) > 1 for name in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS")):
        raise UserError("--multirun starts processes itself; call it without torchrun or srun")
    if any(word.startswith("resume=") for word in words):
        raise UserError("resume= goes on with a single run; a sweep goes on by itself when its command is given again")
    plan = Plan(flags, words, train)
    source: Source
    if (kind := plan.sweeper.get("kind", "basic")) == "optuna":
        from segkit.sweeps.search import Search

        source = Search(plan)
    elif kind == "basic" and str(plan.sweeper.get("_target_", "")).endswith(".BasicSweeper"):
        source = Grid(plan)
    else:
        raise UserError("hydra/sweeper: should be basic or optuna")
    sized = plan.launcher.get("kind") and source.settings["sweep"]["gpus_per_job"] is None
    if sized and any(axis.name == "trainer.gpus" for axis in plan.axes):
        raise UserError("trainer.gpus: for jobs of several sizes, sweep.gpus_per_job has to say the largest")
    with owned(plan.folder):
        pool = None
        if source.pending():
            pool = make_pool(plan.launcher, source.settings["sweep"], source.settings["trainer"], plan.folder)
        try:
            return Sweep(plan, source, pool, source.begin()).run()
        finally:
            if pool is not None:
                pool.close()


class Sweep:
    """One run of the loop over the jobs of ``source``.

    Args:
        plan: the sweep as it was typed.
        source: where its jobs come from.
        pool: where they run; None where none has to.
        earlier: how many jobs are done that ``source`` does not give out again.
    """

    def __init__(self, plan: Plan, source: Source, pool: Pool | None, earlier: int = 0) -> None:
        self.plan, self.source, self.pool = plan, source, pool
        self.display = Display(plan.folder / "sweep.log", source.total)
        self.display.counts["skipped"] = earlier
        self.record = Record(plan, source.total)
        # By run folder: trials of a study may come to be the same job.
        self.running: dict[Path, list[Job]] = {}
        self.failed: list[tuple[Job, Outcome]] = []
        self.signals: list[int] = []

    def run(self) -> int:
        """Returns the exit code."""
        say = self.display.say
        say(f"{self.source.total} jobs in {shown(self.plan.folder)}: {self.plan.command}", on_terminal=True)
        self._say_what_is_the_same()
        self.record.write(self.display.counts)
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with self.display:
                self._loop()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.record.write(self.display.counts)
        self._say_what_came_of_it()
        if self.signals:
            return 128 + self.signals[0]
        return 1 if self.display.counts["failed"] or self.display.counts["interrupted"] else 0

    def _loop(self) -> None:
        stopped = 0
        while True:
            self._hand_out()
            if not self.running:
                return
            assert self.pool is not None
            for job, outcome in self.pool.wait(WAIT):
                self._ended(job, outcome)
            self.display.look()
            if len(self.signals) > stopped:
                stopped = len(self.signals)
                self.display.say(
                    "stopping: running jobs end after the batch at hand (again to end them at once)"
                    if stopped == 1
                    else "ending the running jobs",
                    on_terminal=True,
                )
                self.pool.stop()

    def _hand_out(self) -> None:
        slots = self.pool.slots if self.pool is not None else None
        while not self.signals and self.source.wants(len(self.running), self.display.queued, slots):
            job = self.source.next()
            if job is None:
                return
            if job.folder in self.running:
                self.running[job.folder].append(job)
            elif is_locked(job.folder):
                self.display.elsewhere(job)
            elif (outcome := done_before(job)) is not None:
                self.display.skipped(job, outcome)
                self.source.ended(job, outcome)
            elif self.pool is None:  # another process had it a moment ago
                self.display.elsewhere(job)
            else:
                self.running[job.folder] = [job]
                self.display.handed_out(job)
                self.pool.submit(job)

    def _ended(self, job: Job, outcome: Outcome) -> None:
        self.display.ended(job, outcome)
        if outcome.status == "failed":
            self.failed.append((job, outcome))
        first, *same = self.running.pop(job.folder)
        self.source.ended(first, outcome)
        for other in same:
            self.display.skipped(other, outcome)
            self.source.ended(other, outcome)
        self.record.write(self.display.counts)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)

    def _say_what_is_the_same(self) -> None:
        for axis in self.plan.axes:
            if axis.name in NOT_COUNTED - {"trainer.gpus", "trainer.num_nodes", "trainer.cpu_processes"}:
                text = f"{axis.name} says where or how fast a job runs: jobs that differ in it alone are one job"
                self.display.say(text, on_terminal=True)

    def _say_what_came_of_it(self) -> None:
        def say(line: str) -> None:
            self.display.say(line, on_terminal=True)

        say(f"{self.display.summary()}; {duration(self.record.seconds)}")
        best = self.source.best()
        if best is not None:
            job, score = best
            say(f"best: {job.label}: {monitored(job)} {score:.4f} ({shown(job.folder)})")
        if self.signals or self.display.counts["interrupted"]:
            say(f"go on with: {self.plan.command}")
        say(f"segkit report sweep={self.plan.name or shlex.quote(shown(self.plan.folder))}")
        for job, outcome in self.failed:
            say(f"failed: {job.label}: {outcome.reason} ({shown(job.folder)})")
