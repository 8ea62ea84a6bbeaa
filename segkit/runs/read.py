"""The reader of run folders: their settings, result and state, while they are written or after.

Nothing is built and nothing heavy is imported, and a run that is under way is not disturbed.
"""

import fcntl
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segkit.config import schema, trained_schema
from segkit.config.check import Strict, schema_problems
from segkit.errors import UserError, printable
from segkit.runs.folder import CONFIG, LOCK
from segkit.runs.kept import Kept, Result, Settings, TrainingResult
from segkit.runs.monitor import mode
from segkit.runs.plain import read_json, read_settings, read_yaml
from segkit.runs.regular import open_regular
from segkit.runs.stamp import NewerFormatError, check_stamp

Ended = Literal["finished", "failed", "interrupted", "pruned"]
"""What a run says of its end."""

COMMANDS: tuple[type[Strict], ...] = (
    schema.SagemakerSettings,  # those of training among them
    schema.BenchSettings,
    schema.ReportSettings,
    schema.DataCommandSettings,
    trained_schema.PredictSettings,
    trained_schema.ServeSettings,
    trained_schema.EvaluateSettings,
    trained_schema.AverageSettings,
    trained_schema.ExportSettings,
    trained_schema.PackageSettings,
)
KEYS = {"experiment", "debug"}.union(*(command.model_fields for command in COMMANDS))
"""What settings begin with that commands can be given."""

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
        return f"{self.status}, {done} of {self.settings['trainer'].get('max_epochs', '?')} epochs"

    def choice(self, group: str) -> str | None:
        """The file under ``conf/<group>/`` that it was made with, ``road``; None where that is not recorded."""
        chosen = choices_of(read_hydra(self.folder)).get(group)
        return None if chosen is None else str(chosen)

    def overrides(self) -> list[str]:
        """The settings that it was started with, as they were typed."""
        return read_overrides(self.folder)


def read_result(folder: Path) -> dict[str, Any]:
    """The ``result.json`` of a folder; empty where there is none, or a damaged one.

    Raises:
        NewerFormatError: a later version of segkit has written it.
    """
    try:
        return checked_result(folder)
    except NewerFormatError:
        raise
    except (OSError, UserError):
        return {}


def checked_result(folder: Path) -> dict[str, Any]:
    """The ``result.json`` of a folder.

    Raises:
        OSError: there is none, or it cannot be read.
        UserError: it is damaged, something else, or a later version's.
    """
    path = folder / "result.json"
    result = read_json(path)
    if not isinstance(result, dict):
        raise UserError(f"{printable(path)} is damaged: it holds no results by their names")
    check_stamp(result, path)
    kind = TrainingResult if {"status", "epochs"} & result.keys() else Result
    if problems := schema_problems(kind, {name: result[name] for name in kind.model_fields if name in result}):
        raise UserError(f"{printable(path)} is damaged, or not segkit's: {printable(problems[0])[:200]}")
    return result


def read_overrides(folder: Path) -> list[str]:
    """The settings that a command was given which wrote ``folder``, as they were typed.

    Raises:
        OSError: they are not there.
        UserError: the file is damaged, or holds what is no setting of segkit's.
    """
    path = folder / CONFIG / "overrides.yaml"
    words = read_yaml(path) or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UserError(f"{printable(path)} is damaged: it holds no list of settings")
    _check_words(words, choices_of(read_hydra(folder)), path)
    return words


def _check_words(words: Iterable[str], groups: Iterable[str], path: Path) -> None:
    """Refuse words that set anything else than segkit reads; ``groups`` of config files may be the user's own."""
    known = KEYS.union(groups) - {"hydra"}
    for word in words:
        key = re.match(r"[+~]*(\w+)(?=[\w./@:]*(=|$))", word)
        if key is None or key[1] not in known:
            shown = printable(word)
            raise UserError(f"{printable(path)} is damaged, or not segkit's: {shown[:80]!r} is no setting of segkit's")


def read_hydra(folder: Path) -> dict[str, Any]:
    """What a run folder has kept of how it was composed: ``job``, ``runtime``, ``overrides``; empty where nothing.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / CONFIG / "hydra.yaml"
    try:
        saved = read_yaml(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read: {error.strerror}") from error
    check_stamp(saved, path)
    if problems := schema_problems(Kept, saved) if isinstance(saved, dict) else ["it holds nothing by its name"]:
        raise UserError(f"{printable(path)} is damaged: {printable(problems[0])[:200]}")
    hydra = cast(dict[str, Any], saved)
    _check_words((hydra.get("overrides") or {}).get("task", []), choices_of(hydra), path)
    return hydra


def choices_of(hydra: Mapping[str, Any]) -> dict[str, Any]:
    """The files of ``conf/`` that a run folder's config was made of, by their groups; ``hydra`` is ``read_hydra``'s."""
    return cast(dict[str, Any], hydra.get("runtime", {}).get("choices", {}))


def own_folders(hydra: Mapping[str, Any]) -> list[Path]:
    """The folders of the user's own config files that it was composed with; ``hydra`` is ``read_hydra``'s."""
    sources = hydra.get("runtime", {}).get("config_sources", [])
    return [Path(source["path"]) for source in sources if source["provider"] == "command-line"]


def command_of(folder: Path) -> str | None:
    """The segkit command that wrote ``folder``; None where none has, or nobody knows."""
    try:
        name = read_hydra(folder).get("job", {}).get("name")
    except UserError:
        return None
    return None if name is None else str(name)


def is_locked(folder: Path) -> bool:
    """Whether a process is writing the run folder. The lock is tried shared and let go at once: nobody is kept out."""
    try:
        with open_regular(folder / LOCK) as lock:
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
    settings, written = (_plain(config, resolve, folder) for resolve in (True, False))
    return Run(folder, settings, written, result, status)


def is_training(folder: Path) -> bool:
    """Whether ``folder`` was written by ``segkit train``.

    Raises:
        UserError: its config is damaged.
    """
    return "epochs" in read_result(folder) or "trainer" in _config(folder)


def _config(folder: Path) -> DictConfig:
    try:
        config = read_settings(folder / CONFIG / "config.yaml")
    except FileNotFoundError:
        return DictConfig({})
    except OSError as error:
        raise UserError(f"{printable(error.filename)}: cannot be read: {error.strerror}") from error
    return config


def _plain(config: DictConfig, resolve: bool, folder: Path) -> dict[str, Any]:
    path = folder / CONFIG / "config.yaml"
    try:
        settings = cast(dict[str, Any], OmegaConf.to_container(config, resolve=resolve))
    except (OmegaConfBaseException, RecursionError) as error:
        raise UserError(f"{printable(path)} is damaged: a value refers to what is not there") from error
    if resolve and (problems := schema_problems(Settings, {key: settings.get(key) for key in Settings.model_fields})):
        raise UserError(f"{printable(path)} is damaged, or not segkit's: {printable(problems[0])[:200]}")
    return settings
