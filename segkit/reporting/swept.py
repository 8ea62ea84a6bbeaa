"""What tells the runs of a sweep apart: the settings that differ between them, and how their values are written."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from segkit.runs.identity import flat, swept
from segkit.runs.read import Run

TRANSFORMS, AUGMENT = "augment.transforms", "augment"
NOTHING = "–"
"""Stands where a setting or a score does not exist."""


def swept_values(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For each run its values of the settings that the runs do not share, by dotted key, in the order of the config.

    A run that has no such setting lacks the key. A setting that is written alike in all runs, and differs because it
    refers to another one (``seed: ${seed}``), is left out. A list of transforms is told by the name of its file under
    ``conf/augment/``, as ``augment``.
    """
    settings = [flat(run.settings) for run in runs]
    written = set(swept([run.written for run in runs]))
    keys = [key for key in swept([run.settings for run in runs]) if key in written]
    if TRANSFORMS in keys:
        others = [key for key in keys if key.startswith("augment.") and key != TRANSFORMS]
        names = _augmentations(runs, others)
        place = keys.index(TRANSFORMS)
        keys = keys[:place] + ([AUGMENT] if names else []) + keys[place + 1 :]
        settings = [own | {AUGMENT: name} for own, name in zip(settings, names or [""] * len(runs), strict=True)]
    keys = [key for key in keys if not _explained(key, keys, settings)]
    return [{key: own[key] for key in keys if key in own} for own in settings]


def _augmentations(runs: Sequence[Run], others: Sequence[str]) -> list[str]:
    """What each run's augmentation is called; nothing where ``others``, settings of the group, tell them apart."""
    choices = [run.choice(AUGMENT) for run in runs]
    known = [choice for choice in choices if choice is not None]
    if len(known) == len(runs) and len(set(known)) > 1:
        return known
    if others:
        return []
    lists = [run.settings[AUGMENT]["transforms"] for run in runs]
    names = [_names(transforms) for transforms in lists]
    return names if len(set(names)) > 1 else [json.dumps(transforms) for transforms in lists]


def _names(transforms: Any) -> str:
    """The names of a list's transforms. A job may have failed for having no such list; then what it has."""
    if not isinstance(transforms, list) or not all(isinstance(item, dict) for item in transforms):
        return json.dumps(transforms)
    return " ".join(str(item.get("name")) for item in transforms) or "none"


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
