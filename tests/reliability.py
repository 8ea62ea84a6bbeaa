"""What was tried and what held, by area, in ``experiments/reliability``: ``pytest -p tests.reliability`` counts there.

A test says its area with ``record_property("area", …)``; areas that a session has not tried keep their counts.
``python -m tests.reliability`` takes a soak's slopes, which ``segkit bench`` has written there, into ``result.json``.
"""

import csv
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from segkit.benchmarks.readme import put
from segkit.benchmarks.table import Table, write_csv
from segkit.runs.files import write_whole
from segkit.runs.folder import environment

PLACE = Path(__file__).resolve().parents[1] / "experiments" / "reliability"
NAME = "tried-and-held"
HEAD = """# Reliability

What is done to segkit on purpose, and whether it bears it: it ends with the same result to the byte, or with a line
that names culprit and remedy; nothing is left, of files or of processes ([how](../../docs/reliability.md)). Written by
`make hostile`, `make faults`, `make fuzz` and `make soak`, never by hand.

"""


class Counts:
    """Of a session of tests."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.notes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        said = dict(report.user_properties)
        if report.when == "call" and "area" in said and not report.skipped:
            area = str(said["area"])
            self.tried[area] += 1
            self.held[area] += report.passed
            if "note" in said:
                self.notes[area] = str(said["note"])

    def pytest_sessionfinish(self) -> None:
        if self.tried:
            areas = {area: {"tried": self.tried[area], "held": self.held[area]} for area in self.tried}
            write({area: counts | {"note": self.notes.get(area, "")} for area, counts in areas.items()})


def pytest_configure(config: pytest.Config) -> None:
    """Count in the process that all reports come to."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Counts())


def write(areas: Mapping[str, Mapping[str, Any]], into: Path = PLACE) -> None:
    """Put the counts of ``areas`` (``tried``, ``held``, ``note``) beside those that are there."""
    into.mkdir(parents=True, exist_ok=True)
    path = into / "result.json"
    before: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    counts = dict(sorted({**before.get("areas", {}), **areas}.items()))
    soak = {file.stem: list(csv.DictReader(file.open())) for file in sorted(into.glob("soak-*.csv"))}
    result = {"areas": counts, "soak": soak, **environment()}
    write_whole(path, (json.dumps(result, indent=2) + "\n").encode())
    if not (into / "README.md").exists():
        write_whole(into / "README.md", HEAD.encode())
    if not counts:
        return
    total = {key: sum(each[key] for each in counts.values()) for key in ("tried", "held")}
    rows = [{"area": area, "tried": each["tried"], "held": each["held"]} for area, each in counts.items()]
    remarks = [f"{area}: {each['note']}" for area, each in counts.items() if each.get("note")]
    table = Table(NAME, "Cases that were tried, and that held", [*rows, {"area": "all", **total}], remarks)
    write_csv(table, into)
    put(table, into)


if __name__ == "__main__":
    write({})
