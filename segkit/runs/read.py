"""The reader of run folders: which are meant, their settings, result and state, while they are written or after.

Nothing is built and nothing heavy is imported, and a run that is under way is not disturbed.
"""

import fcntl
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml
from omegaconf import DictConfig, OmegaConf

from segkit.errors import UserError
from segkit.runs.folder import CONFIG, LOCK
from segkit.runs.monitor import mode

SWEEPS = Path("outputs", "sweeps")

EXPORTED = (".onnx", ".pt2", ".xml")
"""Endings of the files that ``segkit export`` writes."""

PACKAGED = "model.safetensors"
"""The weights in a folder of ``segkit package``."""

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


@dataclass(frozen=True)
class TrainedRun:
    """A checkpoint, and the run that it lies in the folder of; None where nobody knows how it was trained."""

    checkpoint: Path
    run: Run | None

    @property
    def folder(self) -> Path | None:
        return None if self.run is None else self.run.folder

    def settings(self) -> dict[str, Any]:
        """The whole config that the run was trained with; empty where that is not known."""
        return {} if self.run is None else self.run.settings

    def command(self) -> list[str]:
        """The settings that the run was started with, as they were typed."""
        return [] if self.run is None else self.run.overrides()

    def finished(self) -> bool:
        """Whether the run is known to have come to its end."""
        return self.run is not None and self.run.status == "finished"


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


def run_folders(place: Path) -> list[Path]:
    """A run folder as itself, the folder of a sweep as the run folders in it, by their names."""
    if (place / CONFIG).is_dir() or not place.is_dir():
        return [place]
    found = [child for child in place.iterdir() if (child / CONFIG).is_dir()]
    return sorted(found, key=lambda path: (len(path.name), path.name)) or [place]


def find_sweep(place: str) -> Path:
    """The folder of the sweep that ``place`` names: one in ``outputs/sweeps/``, or any folder.

    Raises:
        UserError: there is none, or it is a run folder.
    """
    named, folder = SWEEPS / place, Path(place).expanduser()
    found = named if place and named.is_dir() else folder
    if not place or not found.is_dir():
        raise UserError(f"sweep={place}: no such sweep; give a name under {SWEEPS} or a folder of run folders")
    if (found / CONFIG).is_dir():
        raise UserError(f"sweep={place}: this is a run folder; give run={place}")
    return found


def find_runs(place: str) -> list[TrainedRun]:
    """The runs meant by a ``.ckpt`` file, a run folder, or the folder of a sweep (all runs in it).

    Raises:
        UserError: there is none, or a run of the sweep has left no checkpoint.
    """
    if not place:
        raise UserError("checkpoint= is empty; give a .ckpt file or a run folder")
    found = []
    for job in run_folders(Path(place).expanduser()):
        checkpoint = find_checkpoint(job, "checkpoint")
        above = home_of(_made_of(checkpoint))
        found.append(TrainedRun(checkpoint, read_run(above) if (above / CONFIG).is_dir() else None))
    return found


def is_exported(path: Path) -> bool:
    """Whether a file, by its name, is one that ``segkit export`` writes."""
    return path.suffix.lower() in EXPORTED


def about_exported(path: Path) -> Path:
    """The file beside an exported one that says how it was made."""
    return path.with_name(f"{path.name}.json")


def _made_of(path: Path) -> Path:
    """The checkpoint that an exported file, which may lie anywhere, was made of, as long as that is there."""
    try:
        checkpoint = Path(json.loads(about_exported(path).read_text())["checkpoint"]) if is_exported(path) else path
    except (OSError, ValueError, KeyError, TypeError):
        return path
    return checkpoint if checkpoint.is_file() else path


def is_sweep(place: str) -> bool:
    """Whether ``place`` is a folder of run folders."""
    path = Path(place).expanduser()
    return run_folders(path) != [path]


def find_checkpoint(place: str | Path, key: str) -> Path:
    """The checkpoint meant by a ``.ckpt`` file or by a run folder (its ``best.ckpt``); an exported file is itself.

    Of a folder of ``segkit package`` it is the file of the weights.

    Raises:
        UserError: naming ``key``, when it is not there.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        packaged = path / PACKAGED
        path = packaged if packaged.is_file() else path / "checkpoints" / "best.ckpt"
    if not path.is_file():
        raise UserError(f"{key}: {path} does not exist; give a .ckpt file or a run folder that holds one")
    return path


def home_of(checkpoint: Path) -> Path:
    """The folder that a checkpoint belongs to: a run's, which has it in ``checkpoints/``, or a package's."""
    above = checkpoint.absolute().parent
    return above if checkpoint.name == PACKAGED else above.parent


def find_checkpoints(places: Sequence[str], key: str) -> list[Path]:
    """The checkpoints meant by several places, each as for ``find_checkpoint``.

    Raises:
        UserError: naming ``key``, when one is not there, or is there twice.
    """
    found = [find_checkpoint(place, key) for place in places]
    if twice := [path for number, path in enumerate(found) if path.resolve() in {p.resolve() for p in found[:number]}]:
        raise UserError(f"{key}: {twice[0]} is given twice; give each network once")
    return found
