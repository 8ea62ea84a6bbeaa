"""``resume=<run>``: the config that a run folder has kept, as the base of what is typed today.

The kept config is whole, so files of ``conf/`` that have changed since then change nothing; what they would change is
said. Settings that there were none of when the run was made get today's defaults.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra.errors import HydraException
from omegaconf import OmegaConf

from segkit.config.compose import chooses_file, composed, hydra_ready, parsed
from segkit.config.names import keys_of
from segkit.config.overrides import quoted
from segkit.errors import UserError
from segkit.runs.plain import read_settings
from segkit.runs.read import choices_of, own_folders, read_hydra

SHOWN = 8
"""Keys that are named in the line about what is different today."""


@dataclass(frozen=True)
class Resumed:
    """What ``composed`` is to be called with, and a line about what conf/ would give today; empty if the same."""

    words: list[str]
    config_dir: Path | None
    base: dict[str, Any]
    note: str


def resume(folder: Path, words: list[str], config_dir: Path | None) -> Resumed:
    """What to compose for a run that goes on, in the folder that it began in.

    Args:
        folder: of the run.
        words: what was typed beside ``resume=``.
        config_dir: of ``--config-dir``; None = the run's own.

    Raises:
        UserError: no run folder, one of an older version, or a word that chooses another file.
    """
    try:
        kept = cast(dict[str, Any], OmegaConf.to_container(read_settings(folder / ".hydra" / "config.yaml")))
        about = read_hydra(folder)
    except FileNotFoundError as error:
        raise UserError(f"resume={folder}: no run folder of segkit train ({error.filename} does not exist)") from error
    except UserError as error:
        raise UserError(f"resume={folder}: its .hydra folder is damaged: {error}") from error
    if not about:
        raise UserError(f"resume={folder}: no run folder of segkit train (its .hydra/hydra.yaml is missing)")
    if not {"runtime", "overrides"} <= about.keys():
        raise UserError(f"resume={folder}: its .hydra folder is damaged: hydra.yaml lacks its runtime or overrides")
    choices, own, typed = choices_of(about), own_folders(about), about["overrides"].get("task", [])
    _check_version(folder, kept)
    config_dir = config_dir or next((place for place in own if place.is_dir()), None)
    with hydra_ready(config_dir):
        values = []
        for override in parsed([quoted(word) for word in words]):
            if not chooses_file(override):
                values.append(str(override.input_line))
            elif choices.get(override.key_or_group) != override.value():
                raise UserError(
                    f"resume: {override.input_line} would make it another run; set values (model.dropout=0.1), "
                    f"or start a new run with init_from={folder}"
                )
        # Of two words with the same key the later one counts; two that add a key would be a mistake.
        replayed = {override.get_key_element(): str(override.input_line) for override in parsed([*typed, *values])}
    note = "resume: the files of conf/ that the run was made from are not all there; it keeps its own settings"
    try:
        config = composed("train", typed, config_dir)
    except (UserError, HydraException):
        pass
    else:
        today = cast(dict[str, Any], OmegaConf.to_container(config))
        today.pop("hydra")
        note = _difference(kept, today)
        kept = _with_defaults(kept, today)
    hydra = {
        "run": {"dir": str(folder)},
        "runtime": {"choices": choices},
        "overrides": {"task": [line for line in replayed.values() if line not in values]},
    }
    return Resumed(values, config_dir, kept | {"hydra": hydra}, note)


def _check_version(folder: Path, kept: dict[str, Any]) -> None:
    for key, settings in composed("train", []).items():
        group = str(key)
        if OmegaConf.is_dict(settings) and "_target_" in settings and "_target_" not in (kept.get(group) or {}):
            raise UserError(
                f"resume={folder}: a run of an older version, without {group!s} settings of today's kind; it cannot "
                f"go on in this one. init_from={folder} starts a new run from its weights"
            )


def _with_defaults(kept: dict[str, Any], today: dict[str, Any]) -> dict[str, Any]:
    """``kept`` with today's values of settings that it lacks; a class's arguments have defaults of their own."""
    filled = dict(kept)
    for key, value in today.items():
        if key not in kept:
            filled[key] = value
        elif isinstance(value, dict) and isinstance(kept[key], dict) and "_target_" not in value:
            filled[key] = _with_defaults(kept[key], value)
    return filled


def _difference(kept: dict[str, Any], today: dict[str, Any]) -> str:
    missing = object()

    def value(config: Any, key: str) -> Any:
        for part in key.split("."):
            config = config.get(part, missing) if isinstance(config, dict) else missing
        return config

    keys = [key for key in keys_of(kept) if not isinstance(value(kept, key), dict)]
    other = [key for key in keys if value(today, key) != value(kept, key)]
    if not other:
        return ""
    more = f" and {len(other) - SHOWN} more" if len(other) > SHOWN else ""
    return f"resume: the run keeps its own {', '.join(other[:SHOWN])}{more}; conf/ has something else by now"
