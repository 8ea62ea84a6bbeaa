"""One run of a sweep: what is handed to the process that trains it, and what comes back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from segkit.runs.folder import RunFolder
from segkit.runs.read import Ended
from segkit.runs.study import Trial

Train = Callable[[dict[str, Any], RunFolder, Sequence[str], Trial | None], float | None]
"""What trains in a run folder: ``segkit.commands.train.run``, or another function that can be pickled.

It takes settings, folder, the swept keys and the trial, and returns the score that ``trainer.monitor`` names.
"""


@dataclass(frozen=True)
class Job:
    """A run to be made.

    Attributes:
        label: what tells it apart from the sweep's others, for people: ``optimizer.learning_rate=0.0001``.
        folder: its run folder, absolute.
        settings: the composed and resolved config, as ``segkit train`` takes it; it may be wrong still.
        files: what is kept of the config in the run folder, see ``RunFolder.write_config``.
        cwd: the folder that relative paths in the settings start from.
        train: what its process calls.
        swept: the settings in which the sweep's jobs differ, by their dotted keys.
        trial: where it belongs to a study.
    """

    label: str
    folder: Path
    settings: dict[str, Any]
    files: dict[str, str]
    cwd: Path
    train: Train
    swept: tuple[str, ...] = ()
    trial: Trial | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a job: ``reason`` unless it finished, ``score`` (``trainer.monitor``) if it did."""

    status: Ended
    reason: str = ""
    score: float | None = None


class Pool(Protocol):
    """Where jobs run. Each runs in a process of its own, with its output in its run folder."""

    slots: int | None
    """How many jobs run at once; None = the pool queues what it cannot run yet."""

    def submit(self, job: Job) -> None:
        """Run the job as soon as there is room."""

    def wait(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """Wait until a job has ended, at most ``seconds``; those that have ended since the last call."""

    def stop(self) -> None:
        """Ask running jobs to end after the batch at hand, and drop those that have not begun (they come back from
        ``wait`` as interrupted). A second call ends them at once."""

    def close(self) -> None:
        """Give back what the pool holds. Jobs that still run are ended."""
