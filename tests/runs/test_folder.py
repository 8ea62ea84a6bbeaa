import errno
import json
import math
import socket
from pathlib import Path

import pytest
import torch

from segkit.errors import UserError
from segkit.runs.folder import RunFolder, environment, place, write_result
from tests.processes import python


def test_one_process_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match="another process is writing this run folder"):
        RunFolder(tmp_path / "run")
    folder.close()
    RunFolder(tmp_path / "run").close()


def test_the_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys\n"
        "from segkit.runs.folder import RunFolder\n"
        "folder = RunFolder(pathlib.Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert python(script, str(tmp_path)).returncode == -9
    RunFolder(tmp_path).close()


CONFIG = {"config.yaml": "seed: 0\n", "overrides.yaml": "[]\n"}


def test_what_came_to_nothing_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "outputs" / "train" / "now"
    folder = RunFolder(path)
    folder.write_config(CONFIG)
    (path / "train.log").write_text("lines")
    folder.undo(CONFIG, "train.log")
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_other_peoples_files_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.log").write_text("mine")
    folder = RunFolder(tmp_path)
    folder.write_config(CONFIG)
    (tmp_path / "train.log").touch()
    folder.undo(CONFIG, "train.log")
    folder.close()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.log"]


def test_what_a_run_has_left_keeps_its_config(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_config(CONFIG)
    (tmp_path / "result.json").touch()
    folder.undo(CONFIG, "train.log")
    folder.close()
    assert (tmp_path / "result.json").exists()
    assert (tmp_path / ".hydra" / "config.yaml").read_text() == "seed: 0\n"


def test_a_refused_resume_keeps_the_config_that_the_run_was_made_from(tmp_path: Path) -> None:
    first = RunFolder(tmp_path)
    first.write_config(CONFIG)
    first.close()
    second = RunFolder(tmp_path)
    second.write_config({"overrides.yaml": "- optimizer.learning_rate=-1\n"})
    second.undo({"overrides.yaml": ""}, "train.log")
    second.close()
    assert (tmp_path / ".hydra" / "overrides.yaml").read_text() == "[]\n"


def test_scores_that_do_not_exist_are_null(tmp_path: Path) -> None:
    write_result(tmp_path, None, {"scores": {"iou": math.nan, "loss": 0.25}, "epochs": [{"iou": math.inf}]})
    written = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert written == {"scores": {"iou": None, "loss": 0.25}, "epochs": [{"iou": None}]}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_the_environment_names_versions_and_commit() -> None:
    found = environment()
    assert found["versions"]["torch"].startswith("2.")
    assert found["commit"] is None or len(found["commit"].removesuffix("-dirty")) == 40


def test_the_place_names_the_devices_as_the_machine_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place([]) == {"host": socket.gethostname(), "devices": None, "gpu": None}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Card")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert place([1])["devices"] == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    found = place([0, 1], nodes=2)
    assert (found["devices"], found["gpu"]) == ("4,6", "4 × Card")


def test_a_new_result_keeps_its_config_when_what_follows_it_fails(tmp_path: Path) -> None:
    for number, result in ((1, True), (2, True), (3, False)):
        folder = RunFolder(tmp_path / "run")
        folder.write_config({"config.yaml": str(number)})
        if result:
            write_result(folder.path, None, {"number": number})
        if number > 1:
            folder.undo({"config.yaml": ""}, "a.log")
        folder.close()
    # The third came to nothing, and its config has gone with it.
    assert (tmp_path / "run" / ".hydra" / "config.yaml").read_text() == "2"


def test_on_a_full_disk_a_result_takes_the_place_of_a_longer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_result(tmp_path, None, {"status": "running", "epochs": [{"epoch": 1, "loss": 0.5}] * 9})
    size = (tmp_path / "result.json").stat().st_size

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("segkit.runs.folder.write_whole", full)
    write_result(tmp_path, None, {"status": "failed", "reason": "no room", "epochs": [{"epoch": 1, "loss": 0.5}] * 9})
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "failed"
    assert (tmp_path / "result.json").stat().st_size == size
    with pytest.raises(OSError, match="No space left"):
        write_result(tmp_path, None, {"status": "failed", "reason": "x" * size})
    assert json.loads((tmp_path / "result.json").read_text())["reason"] == "no room"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/train.log").symlink_to(mine)
    with pytest.raises(UserError, match=r"train\.log is a link, which would be written through"):
        RunFolder(tmp_path / "run")
    (tmp_path / "run/.result.json.part").symlink_to(mine)
    write_result(tmp_path / "run", None, {})
    assert mine.read_text() == "mine"
