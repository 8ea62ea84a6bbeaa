"""What the files of a run folder may hold, as far as programs rely on it: they may be damaged, or somebody else's."""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import ConfigDict

from segkit.config.check import Strict

Epochs = Annotated[int, Ge(0), Le(10**9)]
Number = float | None


class _Open(Strict):
    """Other names may stand there too."""

    model_config = ConfigDict(extra="allow")


class Job(_Open):
    name: str | None = None


class Source(_Open):
    provider: str
    path: str


class Runtime(_Open):
    choices: dict[str, str | list[str] | None] = {}
    config_sources: list[Source] = []


class Overrides(_Open):
    task: list[str] = []


class Kept(_Open):
    """``.hydra/hydra.yaml``."""

    job: Job = Job()
    runtime: Runtime = Runtime()
    overrides: Overrides = Overrides()


class Trainer(_Open):
    monitor: str = "val/iou"
    max_epochs: Epochs = 0


class Settings(_Open):
    """``.hydra/config.yaml`` of ``segkit train``."""

    trainer: Trainer
    data: dict[str, Any] | None = None


class Best(_Open):
    """Which checkpoint is the best one, and the epoch that it is of, counted from 1."""

    checkpoint: str
    epoch: Epochs


class Epoch(_Open):
    """Losses and scores of an epoch, counted from 1; a score that does not exist is null."""

    epoch: Epochs
    __pydantic_extra__: dict[str, Number]


class Result(_Open):
    """``result.json`` of any command: what it has computed with, and how long that took."""

    checkpoint: str | list[str] | None = None
    seconds: dict[str, Number] | Number = None
    versions: dict[str, str] | None = None
    commit: str | None = None
    gpu: str | None = None


class TrainingResult(Result):
    """``result.json`` of ``segkit train``. Times are seconds since 1970; ``scores`` are those of the best epoch.

    What has no ``None`` is left out where there is none; its default says nothing.
    """

    status: Literal["finished", "failed", "interrupted", "pruned", "running"] = "running"
    reason: str = ""
    started: Number = None
    ended: Number = None
    monitor: str = ""
    max_epochs: Epochs = 0
    scores: dict[str, Number] = {}
    best: Best = Best(checkpoint="", epoch=0)
    epochs: list[Epoch] = []
    host: str | None = None
    devices: str | None = None
    gpu_memory_gib: Number = None
