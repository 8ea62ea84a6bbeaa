"""JSON and YAML that somebody else may have written, as plain values of a size that can be walked through."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segkit.errors import UserError, printable
from segkit.runs.regular import read_text

DEPTH = 40
"""Of values in values."""

VALUES = 1_000_000
"""Numbers, texts and so on that a file may hold, each counted as often as it is referred to."""

SETTINGS = 1 << 18
"""Bytes of the largest file of settings: those that segkit writes have some 5000."""


def read_json(path: Path) -> Any:
    """What a file of JSON holds.

    Raises:
        OSError: it cannot be read, is no regular file, or too large.
        UserError: it is no JSON, or holds too much.
    """
    try:
        return checked(json.loads(read_text(path)))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{printable(path)} is damaged, or no JSON ({_first_line(error)})") from error


def read_yaml(path: Path) -> Any:
    """What a file of settings holds, which makes nothing but plain values. Raises as ``read_json``."""
    return _yaml(path)[0]


def read_settings(path: Path) -> DictConfig:
    """The same as Hydra has it: references can be resolved, and 1e-4 is a number. Raises as ``read_json``."""
    content, text = _yaml(path)
    if not isinstance(content, Mapping):
        raise UserError(f"{printable(path)} is damaged: it holds no settings by their names")
    try:
        return DictConfig(OmegaConf.create(text))
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, RecursionError) as error:  # a key that is there twice
        raise UserError(f"{printable(path)} is damaged ({_first_line(error)})") from error


def _yaml(path: Path) -> tuple[Any, str]:
    try:
        text = read_text(path, SETTINGS)
        return checked(yaml.safe_load(text)), text
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{printable(path)} is damaged, or no YAML ({_first_line(error)})") from error


def checked(value: Any) -> Any:
    """``value`` itself, which can be walked through: references can make a small file endless.

    Raises:
        ValueError: it is nested deeper than ``DEPTH``, or has more than ``VALUES``.
    """
    left = VALUES
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        left -= 1
        if depth > DEPTH:
            raise ValueError(f"it is nested deeper than {DEPTH}")
        if left < 0:
            raise ValueError(f"it holds more than {VALUES} values")
        if isinstance(item, Mapping):
            waiting += [(inner, depth + 1) for inner in item.values()]
        elif isinstance(item, list | tuple | set):
            waiting += [(inner, depth + 1) for inner in item]
    return value


def _first_line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return printable(f"line {error.problem_mark.line + 1}: {error.problem}")
    return printable((str(error).splitlines() or [type(error).__name__])[0])
