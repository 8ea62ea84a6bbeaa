"""Which training runs ``checkpoint=`` means, and how their data were set."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segkit.commands.arguments import quoted
from segkit.engine.run_folder import CONFIG
from segkit.errors import UserError
from segkit.inputs import find_checkpoint

# Settings of a run's data that say how it was trained or where it ran, not what it is scored on. Black label areas are
# left out of the benchmark's score whatever the run made of them.
NOT_INHERITED = {"_target_", "url", "augment", "batch_size", "workers", "cache_dir", "seed", "unscored"}


@dataclass(frozen=True)
class TrainedRun:
    """A checkpoint, and the run folder that it lies in, where it lies in one."""

    checkpoint: Path
    folder: Path | None

    def data_settings(self) -> dict[str, Any]:
        """The ``data`` group that the run was trained with; empty where that is not known."""
        if self.folder is None:
            return {}
        data = OmegaConf.to_container(OmegaConf.load(self.folder / CONFIG / "config.yaml").data, resolve=True)
        assert isinstance(data, dict)
        return {str(key): value for key, value in data.items()}

    def command(self) -> list[str]:
        """The settings that the run was started with."""
        if self.folder is None:
            return []
        return [str(word) for word in OmegaConf.load(self.folder / CONFIG / "overrides.yaml")]


def find_runs(place: str) -> list[TrainedRun]:
    """The runs meant by a ``.ckpt`` file, a run folder, or the folder of a sweep (all runs in it).

    Raises:
        UserError: there is none, or a run of the sweep has left no checkpoint.
    """
    path = Path(place).expanduser()
    jobs = [path]
    if path.is_dir() and not _is_run(path):
        jobs = sorted(child for child in path.iterdir() if _is_run(child)) or [path]
    runs = []
    for job in jobs:
        checkpoint = find_checkpoint(job, "checkpoint")
        above = checkpoint.resolve().parent.parent
        runs.append(TrainedRun(checkpoint, above if _is_run(above) else None))
    return runs


def _is_run(folder: Path) -> bool:
    return all((folder / CONFIG / name).is_file() for name in ("config.yaml", "hydra.yaml", "overrides.yaml"))


def with_data_of_run(arguments: list[str]) -> list[str]:
    """Put the data settings of the run that ``checkpoint=`` means before those that were typed, which win.

    So a network is scored on the part that its own run held out, at the size that it was trained at.
    """
    places = [word.removeprefix("checkpoint=").strip("'\"") for word in arguments if word.startswith("checkpoint=")]
    if not places or any(place.startswith("[") for place in places):
        return arguments
    try:
        run = find_runs(places[-1])[0]
        settings = run.data_settings()
    except UserError:
        return arguments  # the command itself says what is wrong
    if run.folder is None or not settings:
        return arguments
    saved = OmegaConf.load(run.folder / CONFIG / "hydra.yaml").runtime
    choice = f"data={saved.choices.data}"
    given = {word.lstrip("+").partition("=")[0] for word in arguments}
    inherited = {key: value for key, value in settings.items() if key not in NOT_INHERITED}
    if "data" in given and choice not in arguments:
        inherited = {"image_shape": settings["image_shape"]}
    words = [choice] if "data" not in given else []
    for key, value in inherited.items():
        if f"data.{key}" not in given:
            words.append(quoted(f"data.{key}={value if isinstance(value, str) else json.dumps(value)}"))
    own = [f"--config-dir={source.path}" for source in saved.config_sources if source.provider == "command-line"]
    if any(word.startswith(("--config-dir", "-cd")) for word in arguments):
        own = []
    return [*own, *words, *arguments]
