"""Which runs are the same job, what tells the jobs of a sweep apart, and how their folders are called.

Two runs are the same job if all settings are equal that say *what* is trained: data, network, augmentation, seed,
epochs, precision and all the rest. A sweep that is started again skips such a job if it has finished, and goes on with
it if it was cut off. What says only *where* or *how fast* does not count (``NOT_COUNTED``): the data may lie in another
folder, the cache too, and another GPU may do the work, compiled or not.

The number of GPUs counts by what a step sees: ``data.batch_size`` is per process, so it enters as ``batch_size`` times
the number of training processes. Two GPUs with 8 pictures each go on with a run of one GPU with 16; two GPUs with 16
pictures each train something else.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

NOT_COUNTED = frozenset(
    {
        "name",
        "predictions",
        "sweep",
        "trust",
        "upload",
        "data.root",
        "data.url",
        "data.cache_dir",
        "data.workers",
        "trainer.gpus",
        "trainer.num_nodes",
        "trainer.cpu_processes",
        "trainer.compile",
        "trainer.logger",
        "trainer.profiler",
    }
)
"""Dotted keys that say where or how fast, not what. A group's name stands for all keys in it."""

PROCESSES = ("trainer.gpus", "trainer.num_nodes", "trainer.cpu_processes")
BATCH, STEP = "data.batch_size", "data.batch_size × processes"
LONGEST_NAME = 100
"""Characters of a folder's name before the key: with it the name stays far below the 255 of file systems."""


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings by their dotted keys, in the same order; lists are values."""
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            values |= {f"{key}.{below}": item for below, item in flat(value).items()}
        else:
            values[str(key)] = value
    return values


def counted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a run the job that it is, by dotted keys.

    In the place of ``data.batch_size`` stand the pictures of a step, as ``data.batch_size × processes``.
    """
    values = flat(settings)
    kept = {key: value for key, value in values.items() if _counts(key)}
    if type(values.get(BATCH)) is int:
        kept[STEP] = kept.pop(BATCH) * _processes(values)
    return kept


def job_key(settings: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits, the same for settings of the same job, whatever the order and form they are given in.

    Equal numbers are the same (1 and 1.0, 1e-4 and 0.0001); ``true`` and 1 are not.
    """
    return hashlib.sha256(_canonical(counted(settings)).encode()).hexdigest()[:8]


def swept(settings_list: Sequence[Mapping[str, Any]]) -> list[str]:
    """The dotted keys of what differs between runs, in the order of the config; a key that a run lacks differs.

    Left out are those of ``NOT_COUNTED``, but GPUs and machines are there where they change what a step sees.
    """
    runs = [flat(settings) for settings in settings_list]
    processes = {_processes(run) for run in runs}
    steps = {_canonical(counted(settings).get(STEP)) for settings in settings_list}
    shown = PROCESSES if len(processes) > 1 and len(steps) > 1 else ()
    keys = [key for key in dict.fromkeys(key for run in runs for key in run) if _counts(key) or key in shown]
    return [key for key in keys if _differs([run.get(key, _MISSING) for run in runs])]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """A name for each dotted key: its last part, or as many as tell it apart from the others."""
    parts = dict.fromkeys(keys, 1)
    while True:
        names = {key: ".".join(key.split(".")[-count:]) for key, count in parts.items()}
        taken = list(names.values())
        longer = [key for key, name in names.items() if taken.count(name) > 1 and name != key]
        if not longer:
            return names
        for key in longer:
            parts[key] += 1


def folder_name(values: Mapping[str, Any], key: str) -> str:
    """The name of a job's folder, safe on every file system: ``learning_rate_0.0001_image_shape_160x576-1a2b3c4d``.

    Args:
        values: the swept settings by their short names.
        key: of :func:`job_key`.
    """
    words = "_".join(f"{name}_{_word(value)}" for name, value in values.items())
    safe = re.sub(r"[^\w.-]", "-", words, flags=re.ASCII)[:LONGEST_NAME]
    return f"{safe}-{key}" if safe else key


_MISSING = object()


def _counts(key: str) -> bool:
    parts = key.split(".")
    return not any(".".join(parts[:end]) in NOT_COUNTED for end in range(1, len(parts) + 1))


def _processes(values: Mapping[str, Any]) -> int:
    """Training processes that the settings ask for. ``auto`` is one GPU, and where there is none as 0 the CPU's
    processes; their number is 1 unless somebody means the CPU."""
    gpus = values.get("trainer.gpus")
    own = values.get("trainer.cpu_processes") if gpus in ("auto", 0) else gpus
    count = len(own) if isinstance(own, list) else own
    nodes = values.get("trainer.num_nodes")
    # Settings may be wrong still, or a class of the user's own have none of these.
    return _positive(count) * _positive(nodes)


def _positive(value: Any) -> int:
    return value if type(value) is int and value > 0 else 1


def _canonical(value: Any) -> str:
    """One text for equal values."""
    return json.dumps(_plain(value), sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _differs(values: Sequence[Any]) -> bool:
    missing = [value is _MISSING for value in values]
    return any(missing) != all(missing) or (not any(missing) and len({_canonical(value) for value in values}) > 1)


def _word(value: Any) -> str:
    """A value in a folder's name. Of a transform, or anything else with a name, that alone."""
    if isinstance(value, list | tuple):
        return "x".join(map(_word, value)) or "none"
    if isinstance(value, Mapping):
        return str(value.get("name", "x".join(f"{key}_{_word(item)}" for key, item in value.items())))
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    if isinstance(value, float):
        # A + would become a - in a file's name, and 1e+20 another number.
        return str(int(value)) if value.is_integer() and abs(value) < 1e9 else f"{value:g}".replace("e+", "e")
    return str(value)
