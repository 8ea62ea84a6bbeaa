"""The reader of run folders: their settings, result and state, while they are written or after.

Nothing is built and nothing heavy is imported, and a run that is under way is not disturbed.
"""

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml
from omegaconf import DictConfig, OmegaConf

from segkit.errors import UserError
from segkit.runs.folder import CONFIG, LOCK
from segkit.runs.monitor import mode

Ended = Literal["finished", "failed", "interrupted", "pruned"]
"""What a run says of its end."""

Status = Literal[Ended, "running", "cut off", "waiting"]


@dataclass(frozen=True)
class Run:
    """A run folder of ``segkit train``.

    Attributes:
        folder: where it lies.
        settings: its resolved config.
        written: its config as it was written, with references to other settings (``${seed}``).
        result: its ``result.json``; empty where there is none yet.
        status: what became of it. ``running``: a process holds its lock; ``cut off``: it ended without saying so;
            ``waiting``: nobody has begun with it.
    """

    folder: Path
    settings: dict[str, Any]
    written: dict[str, Any]
    result: dict[str, Any]
    status: Status

    @property
    def monitor(self) -> str:
        """The score that chooses its best epoch, ``val/iou``."""
        return str(self.settings["trainer"].get("monitor", "val/iou"))

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """Its epochs so far, the first one first, as ``result.json`` has them."""
        return list(self.result.get("epochs", []))

    @property
    def best_epoch(self) -> int | None:
        """The epoch of its scores; None where it has none."""
        if "best" in self.result:
            return int(self.result["best"]["epoch"])
        best = self._best_so_far()
        return None if best is None else int(best["epoch"])

    @property
    def scores(self) -> dict[str, float | None]:
        """The scores of its best epoch, of those so far while it has not finished: names without ``val/``."""
        if "scores" in self.result:
            return dict(self.result["scores"])
        best = self._best_so_far() or {}
        validated = {key.removeprefix("val/"): value for key, value in best.items() if key.startswith("val/")}
        return validated or {key: best[key] for key in ("mean_loss",) if key in best}

    def _best_so_far(self) -> dict[str, Any] | None:
        scored = [epoch for epoch in self.epochs if epoch.get(self.monitor) is not None]
        if not scored:
            return self.epochs[-1] if self.epochs else None
        choose = {"min": min, "max": max}[mode(self.monitor)]
        return choose(scored, key=lambda epoch: epoch[self.monitor])

    @property
    def reason(self) -> str:
        """Why it did not finish; empty where it did, or has not said."""
        return str(self.result.get("reason", ""))

    @property
    def progress(self) -> str:
        """What became of it, for people: ``running, 3 of 20 epochs``."""
        if self.status in ("finished", "waiting"):
            return self.status
        done = self.epochs[-1]["epoch"] if self.epochs else 0
        return f"{self.status}, {done} of {self.settings['trainer']['max_epochs']} epochs"

    def choice(self, group: str) -> str | None:
        """The file under ``conf/<group>/`` that it was made with, ``road``; None where that is not recorded."""
        try:
            saved = yaml.safe_load((self.folder / CONFIG / "hydra.yaml").read_text())
        except OSError:
            return None
        chosen = saved["runtime"]["choices"].get(group)
        return None if chosen is None else str(chosen)

    def overrides(self) -> list[str]:
        """The settings that it was started with, as they were typed."""
        return read_overrides(self.folder)


def read_result(folder: Path) -> dict[str, Any]:
    """The ``result.json`` of a folder; empty where there is none, or a damaged one."""
    try:
        result = json.loads((folder / "result.json").read_text())
    except (OSError, ValueError):
        return {}
    return result if isinstance(result, dict) else {}


def read_overrides(folder: Path) -> list[str]:
    """The settings that a command was given which wrote ``folder``, as they were typed."""
    return [str(word) for word in OmegaConf.load(folder / CONFIG / "overrides.yaml")]


def command_of(folder: Path) -> str | None:
    """The segkit command that wrote ``folder``; None where none has, or nobody knows."""
    try:
        return str(OmegaConf.load(folder / CONFIG / "hydra.yaml").job.name)
    except (OSError, yaml.YAMLError, UnicodeDecodeError, AttributeError):
        return None


def is_locked(folder: Path) -> bool:
    """Whether a process is writing the run folder. The lock is tried shared and let go at once: nobody is kept out."""
    try:
        with open(folder / LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def read_run(folder: Path) -> Run:
    """The run in ``folder``.

    Raises:
        UserError: it is no run folder of ``segkit train``, or its config is damaged.
    """
    config = _config(folder)
    if "trainer" not in config:
        raise UserError(f"{folder}: no run folder of segkit train")
    locked = is_locked(folder)  # before its result is read, which may be its last one then
    result = read_result(folder)
    said: Any = result.get("status")
    status: Status
    if said == "finished":
        status = "finished"  # also while it paints its pictures
    elif locked:
        status = "running"  # a failed one too: it is being tried again
    elif said in get_args(Ended):
        status = said
    else:
        status = "cut off" if result or (folder / LOCK).exists() else "waiting"
    settings, written = (_plain(config, resolve) for resolve in (True, False))
    return Run(folder, settings, written, result, status)


def is_training(folder: Path) -> bool:
    """Whether ``folder`` was written by ``segkit train``.

    Raises:
        UserError: its config is damaged.
    """
    return "epochs" in read_result(folder) or "trainer" in _config(folder)


def _config(folder: Path) -> DictConfig:
    try:
        config = OmegaConf.load(folder / CONFIG / "config.yaml")
    except FileNotFoundError:
        return DictConfig({})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{folder}: its {CONFIG}/config.yaml is damaged") from error
    assert isinstance(config, DictConfig)
    return config


def _plain(config: DictConfig, resolve: bool) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=resolve))
