"""What tells the runs of a sweep apart: the settings that differ between them, and how their values are written."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from segkit.runs.identity import flat, swept
from segkit.runs.read import Run

AUGMENT = "augment"
NOTHING = "–"
"""Stands where a setting or a score does not exist."""


def swept_values(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For each run its values of the settings that the runs do not share, by dotted key, in the order of the config.

    A run that has no such setting lacks the key. A setting that is written alike in all runs, and differs because it
    refers to another one (``seed: ${seed}``), is left out. Augmentations are told by the names of their files under
    ``conf/augment/``, as ``augment``, where these differ; what follows from the file is left out.
    """
    settings = [flat(run.settings) for run in runs]
    written = set(swept([run.written for run in runs]))
    keys = [key for key in swept([run.settings for run in runs]) if key in written]
    names = [run.choice(AUGMENT) for run in runs]
    numbers = [key for key in keys if key.startswith(f"{AUGMENT}.")]
    if numbers and None not in names and len(set(names)) > 1:
        place = keys.index(numbers[0])
        settings = [own | {AUGMENT: name} for own, name in zip(settings, names, strict=True)]
        left = [key for key in keys if key not in numbers or not _follows(key, AUGMENT, settings)]
        keys = [*left[:place], AUGMENT, *left[place:]]
    keys = [key for key in keys if not _explained(key, keys, settings)]
    return [{key: own[key] for key in keys if key in own} for own in settings]


def _follows(key: str, other: str, settings: Sequence[Mapping[str, Any]]) -> bool:
    """Whether runs with equal values of ``other`` have equal values of ``key``."""
    pairs = {(json.dumps(own[other]), json.dumps(own.get(key))) for own in settings}
    return len({value for value, _ in pairs}) == len(pairs)


def _explained(key: str, keys: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a setting differs only by being there or not, as the choice of another file for its group has it."""
    there = [own[key] for own in settings if key in own]
    group = key.split(".")[0]
    chosen = {group, f"{group}._target_"} & set(keys) - {key}
    return bool(chosen) and len(there) < len(settings) and all(value == there[0] for value in there)


def shown(value: Any) -> str:
    """A setting as people write it: ``1e-5``, ``160×576``, ``null``; a number with six digits at most."""
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        return "×".join(map(str, value))
    if isinstance(value, float):
        return re.sub(r"e([+-])0*", lambda sign: "e" + sign[1].strip("+"), f"{value:g}")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sort_key(value: Any) -> tuple[int, Any]:
    """Brings values of a setting into order: nothing, numbers, pictures' shapes by their area, the rest by its text."""
    if value is None:
        return 0, 0
    if is_number(value):
        return 1, value
    if isinstance(value, list) and value and all(is_number(item) for item in value):
        area = 1
        for item in value:
            area *= item
        return 2, (area, value)
    return 3, shown(value)


def is_number(value: Any) -> bool:
    """Whether a setting's value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
