"""Which training runs ``checkpoint=`` means, and how they were made."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segkit.errors import UserError
from segkit.predict.inputs import find_checkpoint
from segkit.runs.folder import CONFIG


@dataclass(frozen=True)
class TrainedRun:
    """A checkpoint, and the run folder that it lies in, where it lies in one."""

    checkpoint: Path
    folder: Path | None

    def settings(self) -> dict[str, Any]:
        """The whole config that the run was trained with; empty where that is not known."""
        if self.folder is None:
            return {}
        config = OmegaConf.to_container(OmegaConf.load(self.folder / CONFIG / "config.yaml"), resolve=True)
        assert isinstance(config, dict)
        return {str(key): value for key, value in config.items()}

    def command(self) -> list[str]:
        """The settings that the run was started with, as they were typed."""
        if self.folder is None:
            return []
        return [str(word) for word in OmegaConf.load(self.folder / CONFIG / "overrides.yaml")]

    def finished(self) -> bool:
        """Whether the run came to its end."""
        result = (self.folder or Path()) / "result.json"
        try:
            return json.loads(result.read_text()).get("status") == "finished"
        except (OSError, ValueError):
            return False


def find_runs(place: str) -> list[TrainedRun]:
    """The runs meant by a ``.ckpt`` file, a run folder, or the folder of a sweep (all runs in it).

    Raises:
        UserError: there is none, or a run of the sweep has left no checkpoint.
    """
    if not place:
        raise UserError("checkpoint= is empty; give a .ckpt file or a run folder")
    path = Path(place).expanduser()
    jobs = sorted(child for child in path.iterdir() if _is_run(child)) if is_sweep(place) else [path]
    runs = []
    for job in jobs:
        checkpoint = find_checkpoint(job, "checkpoint")
        above = checkpoint.absolute().parent.parent
        runs.append(TrainedRun(checkpoint, above if _is_run(above) else None))
    return runs


def is_sweep(place: str) -> bool:
    """Whether ``place`` is a folder of run folders."""
    path = Path(place).expanduser()
    return path.is_dir() and not _is_run(path) and any(_is_run(child) for child in path.iterdir())


def _is_run(folder: Path) -> bool:
    return all((folder / CONFIG / name).is_file() for name in ("config.yaml", "hydra.yaml", "overrides.yaml"))
