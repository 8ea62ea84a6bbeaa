"""What the runs of a comparison have in common besides their settings: commands, hardware, code, what came of them."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segkit.errors import UserError
from segkit.reporting.comparison import Comparison
from segkit.runs.plain import read_json
from segkit.runs.read import Run


@dataclass(frozen=True)
class About:
    """Where results come from.

    Attributes:
        commands: the command lines that made the runs, each once.
        gpu: what they ran on; None for the CPU.
        commit: that of the code; several where it changed in between.
        versions: of the main libraries.
        seconds: what the sweep took, over all its starts; None where that was not recorded.
    """

    commands: list[str]
    gpu: str | None
    commit: str | None
    versions: dict[str, str]
    seconds: float | None


def describe(runs: Sequence[Run], base: Path) -> About:
    """Read it from the runs' results, and from ``sweep.json`` in ``base`` where they were made by a sweep."""
    starts = _starts(base)
    commands = [start["command"] for start in starts] or [
        f"python train.py {shlex.join(run.overrides())}" for run in runs
    ]
    results = [run.result for run in runs]
    versions: dict[str, dict[str, None]] = {}
    for result in results:
        for name, version in result.get("versions", {}).items():
            versions.setdefault(name, {})[version] = None
    seconds = [start["seconds"] for start in starts if start.get("seconds") is not None]
    return About(
        list(dict.fromkeys(commands)),
        _hardware(results),
        ", ".join(dict.fromkeys(result["commit"] for result in results if result.get("commit"))) or None,
        {name: ", ".join(several) for name, several in versions.items()},
        sum(seconds) if seconds else None,
    )


def _starts(base: Path) -> list[dict[str, Any]]:
    try:
        starts = read_json(base / "sweep.json")
    except (OSError, UserError):
        return []
    return starts if isinstance(starts, list) else []


def _hardware(results: Sequence[dict[str, Any]]) -> str | None:
    """What GPUs the jobs had, and how many different ones: ``NVIDIA H200 (4 devices on 1 machine)``."""
    used = [result for result in results if result.get("gpu")]
    if not used:
        return None
    names = ", ".join(dict.fromkeys(result["gpu"] for result in used))
    known = [result for result in used if result.get("devices")]
    devices = {(result.get("host"), number) for result in known for number in result["devices"].split(",")}
    if len(devices) < 2:
        return names
    machines = len({host for host, _ in devices})
    return f"{names} ({len(devices)} devices on {machines} machine{'s' if machines > 1 else ''})"


def summary(comparison: Comparison) -> str:
    """How many runs there are, and what became of them: ``8 runs: 6 finished, 1 failed, 1 running``."""
    counts, number = Counter(run.status for run in comparison.runs), len(comparison.runs)
    parts = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"{number} run{'s' if number > 1 else ''}: {parts}"


def failures(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Label, folder and reason of every run that failed."""
    failed = [row for row in comparison.singles if row.runs[0].status == "failed"]
    return [(comparison.label(row), comparison.place(row), row.runs[0].reason) for row in failed]
