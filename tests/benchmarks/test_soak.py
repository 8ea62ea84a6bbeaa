"""``segkit bench what=soak``: what it looks at, and a short one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segkit.benchmarks import soak
from segkit.benchmarks.usage import MARK, Usage, marked, slopes, usage
from segkit.config.compose import composed, resolved

SLEEPS = "import sys, time; file = open('/dev/null'); print(flush=True); sys.stdin.read()"


def used(memory: float, disk: float = 0.0) -> Usage:
    return Usage(memory, 10, 1, 0.0, disk)


def test_growth_is_that_within_processes_of_any_level() -> None:
    # 1 MiB a minute each, once from 100 MiB and once from 500; the first quarter is another matter.
    first = [(float(at), used(100 + at / 60 + (99 if at < 20 else 0))) for at in range(0, 80, 10)]
    second = [(float(at), used(500 + at / 60, disk=7.0)) for at in range(100, 180, 10)]
    growth = slopes([first, second, [(200.0, used(1.0))]])
    assert growth["memory_mib"] == pytest.approx(60)
    assert growth["disk_mib"] == growth["descriptors"] == pytest.approx(0)
    assert all(value != value for value in slopes([[]]).values())


def test_what_marked_processes_use_is_found_also_when_their_parent_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(bytes(3 * 2**20))
    mark = tmp_path.name
    start = [sys.executable, "-c", SLEEPS]
    with subprocess.Popen(
        start, env=os.environ | {MARK: mark}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert list(marked(mark)) == [process.pid]
        found = usage(mark, tmp_path, os.listdir("/dev/shm"))
        assert process.stdin is not None
        process.stdin.close()
    assert found.processes == 1
    assert found.descriptors >= 4
    assert 1 < found.memory_mib < 200
    assert 3 <= found.disk_mib < 4
    assert list(marked(mark)) == []
    assert usage(mark, tmp_path, ()).memory_mib == 0


def test_a_short_one_holds(tmp_path: Path) -> None:
    words = ["model=fpn", "model.encoder=mobilenet_v3_large", "model.weights=null", "model.decoder.width=16", "gpus=0"]
    words += ["pictures=3", "epoch_pictures=4", "epoch_steps=1", "cases=[[32,64,2]]", "seconds=3"]
    settings = resolved(composed("bench", ["what=soak", *words]))
    (table,) = soak.run(settings, tmp_path)
    rows = {row["what"]: row for row in table.rows}
    assert list(rows) == ["training", "predicting", "serving", "after each turn"]
    assert all(row["tried"] == row["held"] > 0 for row in rows.values()), table.remarks
    assert rows["training"]["tried"] == rows["after each turn"]["tried"] == 2  # began, and went on
    assert rows["training"]["processes"] > 1  # its loader has one
    assert rows["after each turn"]["processes"] == 0 < rows["after each turn"]["disk_mib"]
    assert all(row["memory_mib"] > 100 for name, row in rows.items() if name != "after each turn")
