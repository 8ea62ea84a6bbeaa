"""Files say which version wrote them: those without a stamp are older ones, those of a later format are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from segkit import __version__
from segkit.errors import UserError
from segkit.metrics.cross_validation import read_counts
from segkit.predict.outputs import MANIFEST, claim
from segkit.remote.mirror import RECORD, Record
from segkit.runs.folder import write_result
from segkit.runs.read import checked_result, read_hydra, read_result
from segkit.runs.stamp import FORMAT, stamped, unstamped

LATER: dict[str, Any] = {"segkit": {"version": "9.1", "format": FORMAT + 1}}
REFUSED = r"was written by segkit 9\.1, in a format that this one \(.*\) does not know; install that version"


def test_a_stamp_stands_in_front_and_is_renewed() -> None:
    once = stamped({"a": 1}, command="train")
    assert once == {"segkit": {"version": __version__, "format": FORMAT, "command": "train"}, "a": 1}
    assert stamped({"b": 2, **LATER}) == {"segkit": {"version": __version__, "format": FORMAT}, "b": 2}
    assert unstamped(once, Path("x")) == unstamped({"a": 1}, Path("x")) == {"a": 1}


@pytest.mark.parametrize("stamp", [None, "0.1", [], {"format": "new"}, {"format": True}, {}])
def test_what_is_no_stamp_is_none(stamp: Any) -> None:
    assert unstamped({"segkit": stamp, "a": 1}, Path("x")) == {"a": 1}


def test_results_of_older_versions_are_read_and_copies_keep_their_stamp(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"status": "finished", "started": 5.0, "epochs": []}')
    assert read_result(tmp_path)["status"] == "finished"
    write_result(tmp_path, None, read_result(tmp_path))
    assert "segkit" not in read_result(tmp_path)
    write_result(tmp_path, "train", read_result(tmp_path))
    assert read_result(tmp_path)["segkit"] == {"version": __version__, "format": FORMAT, "command": "train"}


def test_a_later_format_is_refused_naming_the_file(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    for name in ("result.json", "counts.json", ".hydra/hydra.yaml", MANIFEST, RECORD):
        (tmp_path / name).write_text(json.dumps(LATER))  # JSON is YAML too
    for name, read in {
        "result.json": checked_result,
        "result.json ": read_result,
        "hydra.yaml": read_hydra,
        MANIFEST: lambda folder: claim(folder, [], [], []),
        RECORD: Record.read,
        "counts.json": lambda folder: read_counts(folder / "counts.json"),
    }.items():
        with pytest.raises(UserError, match=f"{name.strip()} {REFUSED}"):
            read(tmp_path)


def test_what_was_painted_before_there_were_stamps_is_known_to_be_segkits(tmp_path: Path) -> None:
    for name in ("list", "stamped"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "road.json").write_text("{}")
        (folder / MANIFEST).write_text(
            json.dumps(["road.json"] if name == "list" else stamped({"files": ["road.json"]}))
        )
        claim(folder, [], [], [])
        assert not (folder / "road.json").exists()
        assert json.loads((folder / MANIFEST).read_text())["files"] == ["road.json"]


def test_mirrors_of_older_versions_are_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text('{"url": "s3://roads/run", "ids": ["a"], "sent": {"x": [1, 2]}}')
    kept = Record.read(tmp_path)
    assert kept == Record("s3://roads/run", ["a"], {"x": [1, 2]})
    kept.write(tmp_path)
    assert json.loads((tmp_path / RECORD).read_text())["segkit"]["format"] == FORMAT
    assert Record.read(tmp_path) == kept
