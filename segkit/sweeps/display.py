"""What a person sees of a sweep: on a terminal one display that stays in its place, elsewhere a line for each event.

How far a job is stands in its run folder, wherever it runs: ``result.json`` tells epochs, score, host and GPUs. The
events go to ``sweep.log`` too, with times.
"""

import time
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from segkit.console import console, duration
from segkit.runs.folder import CONFIG
from segkit.runs.read import read_result
from segkit.sweeps.job import Job, Outcome

LOOK_EVERY = 2.0
"""Seconds between two looks into the run folders."""


class Watched:
    """A job that was handed out, seen through its run folder."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.result: dict[str, Any] = {}
        self.begun: float | None = None
        """When its process was first seen at work."""
        self.training: tuple[float, int] | None = None
        """When it was first seen training, and the epochs that were done then."""
        self._latest = (0.0, 0)
        """When its last epoch was first seen done, and its number."""
        self._before = self._times()

    def look(self) -> bool:
        """Read what has changed. Returns whether the job is seen training for the first time."""
        config, result = self._times()
        if self.begun is None and (config, result) != self._before:
            self.begun = time.monotonic()
        if result == self._before[1]:  # an earlier attempt's
            return False
        self.result = read_result(self.job.folder)
        if self.done > self._latest[1]:
            self._latest = time.monotonic(), self.done
        if self.training is None and self.result.get("status") == "running":
            self.training = time.monotonic(), self.done
            return True
        return False

    def _times(self) -> tuple[int, int]:
        def changed(path: Path) -> int:
            return path.stat().st_mtime_ns if path.exists() else 0

        return changed(self.job.folder / CONFIG / "config.yaml"), changed(self.job.folder / "result.json")

    @property
    def done(self) -> int:
        """Epochs behind it."""
        return len(self.result.get("epochs", []))

    def seconds(self) -> float:
        """How long it has taken, or takes so far."""
        if {"started", "ended"} <= self.result.keys():
            return self.result["ended"] - self.result["started"]
        return 0.0 if self.begun is None else time.monotonic() - self.begun

    def seconds_left(self, usual: float | None) -> float | None:
        """Judged by its own epochs, or else by the seconds that a job usually takes; None where neither is known."""
        when, done = self._latest
        if self.training is not None and done > self.training[1]:
            since, before = self.training
            each = (when - since) / (done - before)
            return max(0.0, each * (self.result.get("max_epochs", done) - done) - (time.monotonic() - when))
        return None if usual is None else max(0.0, usual - self.seconds())

    def row(self) -> list[str]:
        """Label, epochs, score and place."""
        if self.training is None:
            return [self.job.label, "starting", "", ""]
        monitor = self.result.get("monitor", "")
        epochs = self.result.get("epochs", [])
        score = next((epoch[monitor] for epoch in reversed(epochs) if epoch.get(monitor) is not None), None)
        shown = "" if score is None else f"{monitor} {score:.4f}"
        return [self.job.label, f"epoch {self.done}/{self.result.get('max_epochs', '?')}", shown, place(self.result)]


class Display:
    """Counts, running jobs and the time that is left; a context manager.

    Args:
        log: ``sweep.log``.
        total: jobs of the sweep, those included that are done already.
    """

    def __init__(self, log: Path, total: int) -> None:
        self.log = log
        self.total = total
        self.counts = dict.fromkeys(("finished", "pruned", "failed", "interrupted", "skipped", "elsewhere"), 0)
        self._jobs: dict[Path, Watched] = {}
        self._seconds: list[float] = []
        self._looked = 0.0
        self._live = None
        if console.is_terminal:
            self._live = Live(console=console, get_renderable=self._picture, auto_refresh=False, transient=True)

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def running(self) -> list[Watched]:
        return [watched for watched in self._jobs.values() if watched.begun is not None]

    @property
    def queued(self) -> int:
        """Jobs that were handed out and have not begun."""
        return len(self._jobs) - len(self.running)

    def say(self, line: str, on_terminal: bool = False) -> None:
        """A line for ``sweep.log``, and for the console where that is no terminal, or if ``on_terminal``."""
        # What is shown and recorded is not worth the running jobs: a full disk may come to an end.
        with suppress(OSError), open(self.log, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        if on_terminal or self._live is None:
            console.print(line, markup=False)

    def skipped(self, job: Job, outcome: Outcome) -> None:
        """The job was done before this sweep began."""
        self.counts["skipped"] += 1
        self.say(f"skipped: {job.label}: {outcome.status} earlier{_scored(job, outcome)}")

    def elsewhere(self, job: Job) -> None:
        """Another process has the job's run folder."""
        self.counts["elsewhere"] += 1
        self.say(f"running elsewhere: {job.label} ({shown(job.folder)})")

    def handed_out(self, job: Job) -> None:
        """The job is the pool's from now on."""
        self._jobs[job.folder] = Watched(job)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """The pool has given the job back."""
        watched = self._jobs.pop(job.folder)
        self._look_at(watched)
        if outcome.status == "interrupted" and watched.begun is None:
            return  # it waits again
        self.counts[outcome.status] += 1
        seconds = watched.seconds()
        if outcome.status in ("finished", "pruned"):
            self._seconds.append(seconds)
        taken = f" in {duration(seconds)}"
        where = f" on {place(watched.result)}" if "host" in watched.result else ""
        reason = f": {outcome.reason}" if outcome.reason else ""
        line = f"{outcome.status}: {job.label}{_scored(job, outcome)}{taken}{where}{reason}"
        self.say(line, on_terminal=outcome.status == "failed")

    def look(self) -> None:
        """Read how far the jobs are, if the last time is long enough ago, and show it."""
        if time.monotonic() - self._looked >= LOOK_EVERY:
            for watched in self._jobs.values():
                self._look_at(watched)
            self._looked = time.monotonic()
        if self._live is not None:
            self._live.refresh()

    def _look_at(self, watched: Watched) -> None:
        if watched.look():
            self.say(f"started: {watched.job.label} on {place(watched.result)}")

    def seconds_left(self) -> float | None:
        """Until the sweep's end, judged by the jobs so far; None where that cannot be said yet."""
        running = self.running
        usual = fmean(self._seconds) if self._seconds else None
        left = [watched.seconds_left(usual) for watched in running]
        known = [seconds for seconds in left if seconds is not None]
        if not running or len(known) < len(left):
            return None
        whole = usual
        if whole is None:
            whole = fmean(seconds + watched.seconds() for seconds, watched in zip(known, running, strict=True))
        waiting = self.total - sum(self.counts.values()) - len(running)
        return max(max(known), (sum(known) + max(0, waiting) * whole) / len(running))

    def summary(self) -> str:
        """The counts in a line: ``3 of 8 done, 2 running, …``."""
        done = sum(self.counts[name] for name in ("finished", "pruned", "skipped"))
        waiting = self.total - sum(self.counts.values()) - len(self.running)
        parts = [f"{done} of {self.total} done"]
        if self.counts["skipped"]:
            parts[0] += f" ({self.counts['skipped']} of them earlier)"
        parts += [f"{self.counts[name]} {name}" for name in ("pruned", "failed", "interrupted") if self.counts[name]]
        parts += [f"{len(self.running)} running"] if self.running else []
        parts += [f"{waiting} waiting"] if waiting > 0 else []
        parts += [f"{self.counts['elsewhere']} running elsewhere"] if self.counts["elsewhere"] else []
        return ", ".join(parts)

    def _picture(self) -> Group:
        left = self.seconds_left()
        head = Text(self.summary() + ("" if left is None else f" · about {duration(left)} left"), "bold")
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for _ in range(3):
            table.add_column(no_wrap=True, overflow="ellipsis")
        for watched in self.running:
            table.add_row(*map(Text, watched.row()))
        return Group(head, table)


def place(result: dict[str, Any]) -> str:
    """Where a job runs: its host, and its GPUs if it has any."""
    devices = result.get("devices")
    return str(result.get("host", "?")) + (f" GPU {devices}" if devices is not None else "")


def shown(folder: Path) -> str:
    """A folder as a person would type it here."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def _scored(job: Job, outcome: Outcome) -> str:
    return "" if outcome.score is None else f": {job.settings['trainer']['monitor']} {outcome.score:.4f}"
