import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from segkit.engine.run_folder import RunFolder, environment, write_result
from segkit.errors import UserError


def test_one_process_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match="another process is writing this run folder"):
        RunFolder(tmp_path / "run")
    folder.close()
    RunFolder(tmp_path / "run").close()


def test_the_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys\n"
        "from segkit.engine.run_folder import RunFolder\n"
        "folder = RunFolder(pathlib.Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)]).returncode == -9
    RunFolder(tmp_path).close()


def test_an_unused_folder_is_left_as_it_was(tmp_path: Path) -> None:
    RunFolder(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_scores_that_do_not_exist_are_null(tmp_path: Path) -> None:
    write_result(tmp_path, {"scores": {"iou": math.nan, "loss": 0.25}, "epochs": [{"iou": math.inf}]})
    written = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert written == {"scores": {"iou": None, "loss": 0.25}, "epochs": [{"iou": None}]}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_the_environment_names_versions_and_commit() -> None:
    found = environment()
    assert found["versions"]["torch"].startswith("2.")
    assert found["commit"] is None or len(found["commit"].removesuffix("-dirty")) == 40
