import csv
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segkit.benchmarks import programs
from segkit.benchmarks.table import Table
from segkit.commands.bench import run
from segkit.errors import UserError
from segkit.runs.folder import RunFolder
from tests.processes import SEGKIT, Ended, python


def bench(*arguments: str, cwd: Path) -> Ended:
    return python(SEGKIT, "bench", *arguments, cwd=cwd)


def test_three_programs_are_trained_one_after_the_other(tmp_path: Path) -> None:
    """The whole command: three processes, their figures in a table, a CSV and result.json, and nothing else left."""
    small = ["cases=[[32,32,1]]", "model.fc_channels=2", "epochs=3", "epoch_pictures=1", "epoch_steps=1", "pictures=1"]
    done = bench(
        "what=train", "gpus=0", "algorithm=adamw", "ema=0.9", *small, "into=measured", "hydra.run.dir=run", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "measured").glob("*.csv")
    assert path.name in (tmp_path / "measured" / "README.md").read_text()
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["program"] for row in rows] == ["segkit", "plain Lightning", "bare loop"]
    assert all(
        float(row[name]) > 0 for row in rows for name in ("step_ms", "tflops", "share_of_peak", "ratio_to_plain")
    )
    assert float(rows[1]["ratio_to_plain"]) == float(rows[2]["ratio_to_bare"]) == 1
    (table,) = json.loads((tmp_path / "run" / "result.json").read_text())["tables"]
    assert f"{table['name']}.csv" == path.name
    assert float(rows[0]["images_per_second"]) == pytest.approx(table["rows"][0]["images_per_second"], rel=1e-3)
    assert "ratio_to_plain" in done.stdout
    left = {entry.name for entry in (tmp_path / "run").iterdir()}
    assert left == {".hydra", ".lock", "bench.log", "result.json"}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("what=speed", "what=speed: should be 'train', 'loader'"),
        ("cases=[[160,576]]", "cases=[[160,576]]: should be a list of cases, each [height,width,batch]"),
        ("epochs=2", "epochs=2: should be greater than or equal to 3"),
        ("+steps=3", "steps: no such setting"),
        ("into=file/below", "into=file/below: "),
    ],
)
def test_mistakes_are_told_and_leave_nothing(argument: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = bench(argument, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_sigterm_ends_the_program_that_is_being_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It sends the signal itself, so that it is running then, and waits for one that nobody sends.
    program = f"import os, signal; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); "
    program += "os.kill(os.getppid(), signal.SIGTERM); signal.pause()"

    def measured(settings: dict[str, Any], folder: Path) -> list[Table]:
        (folder / "scratch").mkdir()
        with programs.Started("program", ["sys"], program, []) as started:
            started.output()
        return []

    monkeypatch.setitem(sys.modules, "segkit.benchmarks.train", SimpleNamespace(run=measured))
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(SystemExit, match="143"):
        run({"what": "train", "into": str(tmp_path / "into")}, folder)
    folder.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not (tmp_path / "run" / "scratch").exists()


def test_what_was_measured_is_kept_if_the_next_benchmark_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(settings: dict[str, Any], folder: Path) -> list[Table]:
        (folder / "scratch").mkdir()
        return [Table("train-fp32-nhwc-pt211-cpu", "Training", [{"step_ms": 1.0}], [])]

    def failed(settings: dict[str, Any], folder: Path) -> list[Table]:
        raise UserError("loader: no such thing")

    for name, function in (("train", measured), ("loader", failed)):
        monkeypatch.setitem(sys.modules, f"segkit.benchmarks.{name}", SimpleNamespace(run=function))
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match="no such thing"):
        run({"what": "all", "into": str(tmp_path / "into")}, folder)
    folder.close()
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["files"] == [str(tmp_path / "into" / "train-fp32-nhwc-pt211-cpu.csv")]
    assert Path(result["files"][0]).read_text() == "step_ms\n1.0\n"
    assert not (tmp_path / "run" / "scratch").exists()
