import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segkit.commands.report import prepare, run
from segkit.commands.runner import Typed
from segkit.errors import UserError
from segkit.runs.folder import RunFolder
from tests.reporting import run_folders

RESULT: dict[str, Any] = {
    "status": "finished",
    "scores": {"iou": 0.9123456, "accuracy": None},
    "best": {"checkpoint": "checkpoints/best.ckpt", "epoch": 2},
    "epochs": [{"epoch": i, "loss": i / 10, "val/iou": 0.5, "val/iou/road": 0.5} for i in range(1, 51)],
    "data": {"train": {"um": 3, "uu": 4}, "val": {"um": 1}},
    "seconds": {"fit": 12.34},
    "versions": {"torch": "2.11.0"},
    "gpu": None,
    "commit": "abc",
}


def write_run(folder: Path, result: dict[str, Any]) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("- data.image_shape=[32,64]\n- seed=1\n")
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "predictions" / "overlay").mkdir(parents=True)
    for i in range(6):
        cv2.imwrite(str(folder / "predictions" / "overlay" / f"um_{i}.png"), np.zeros((100, 1000, 3), np.uint8))
    return folder


def report(source: Path, into: Path) -> None:
    folder = RunFolder(into)
    try:
        run({"run": str(source), "sweep": None, "into": str(into), "question": "Why?", "pictures": 3}, folder)
    finally:
        folder.close()


def compare_runs(tmp_path: Path, **settings: Any) -> str:
    """The README of a report into ``tmp_path/entry``."""
    folder = RunFolder(tmp_path / "entry")
    try:
        run({"run": None, "sweep": None, "into": str(folder.path), "question": "", "pictures": 1} | settings, folder)
    finally:
        folder.close()
    return (folder.path / "README.md").read_text()


def test_an_entry(tmp_path: Path) -> None:
    into = tmp_path / "entry"
    report(write_run(tmp_path / "run", RESULT), into)
    text = (into / "README.md").read_text()
    assert text.startswith("# Why?\n")
    assert "`python train.py 'data.image_shape=[32,64]' seed=1`" in text
    assert "| iou | 0.9123 |" in text
    assert "| accuracy | – |" in text
    assert "| 50 | 5.0000 | 0.5000 |" in text
    assert "train 7, val 1" in text
    assert json.loads((into / "result.json").read_text()) == RESULT
    pictures = sorted(into.glob("*.jpg"))
    assert [path.stem for path in pictures] == ["um_0", "um_2", "um_4"]
    assert cv2.imread(str(pictures[0])).shape == (80, 800, 3)


def test_only_entries_are_written_over(tmp_path: Path) -> None:
    source, into = write_run(tmp_path / "run", RESULT), tmp_path / "entry"
    report(source, into)
    report(source, into)
    (into / "README.md").write_text("my own notes")
    with pytest.raises(UserError, match=r"README\.md was not written by segkit report"):
        report(source, into)
    assert (into / "README.md").read_text() == "my own notes"


def test_an_entry_about_something_else_is_replaced_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, into = write_run(tmp_path / "a", RESULT), tmp_path / "entry"
    second = write_run(tmp_path / "b", RESULT | {"seconds": {"fit": 13.57}})
    for source in (first, first, second):
        assert "replaces" not in caplog.text
        report(source, into)
    assert f"into={into}: this replaces the entry that was there, “Why?”" in caplog.text


def test_only_finished_runs_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished run of segkit train or segkit evaluate"):
        report(tmp_path / "nothing", tmp_path / "entry")
    unfinished = write_run(tmp_path / "run", {"status": "interrupted", "epochs": []})
    with pytest.raises(UserError, match=r"has not finished \(status interrupted\): resume="):
        report(unfinished, tmp_path / "entry")
    assert [path.name for path in (tmp_path / "entry").iterdir()] == [".lock"]


def test_what_holds_no_scores_is_said_to_be_what_it_is(tmp_path: Path) -> None:
    other = tmp_path / "data" / "kitti"
    other.mkdir(parents=True)
    with pytest.raises(UserError, match=r"kitti: no finished run of segkit train or segkit evaluate \(") as said:
        report(other, tmp_path / "entry")
    assert "resume" not in str(said.value)
    soup = write_run(tmp_path / "average", {"checkpoint": ["a", "b"], "output": "a/checkpoints/soup.ckpt"})
    with pytest.raises(UserError, match=r"average: no run folder; give one of segkit train or segkit evaluate$"):
        report(soup, tmp_path / "entry")
    (soup / ".hydra" / "hydra.yaml").write_text("job: {name: average}\n")
    made = r"average: a folder of segkit average, which holds no scores; segkit evaluate checkpoint=a/checkpoints/soup"
    with pytest.raises(UserError, match=made):
        report(soup, tmp_path / "entry")


def write_evaluation(folder: Path, severity: int) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(f"- checkpoint=a\n- severity={severity}\n")
    figures = dict.fromkeys(["MaxF", "AP", "PRE", "REC", "FPR", "FNR", "threshold"], 90.0)
    result = {
        "perspective": {"URBAN_ROAD": figures},
        "corrupted": {"corruption": f"fog {severity}", "perspective": {"URBAN_ROAD": figures | {"MaxF": 80.0}}},
        "training": [["seed=1"]],
        "checkpoint": ["a"],
        "part": "val",
        "pictures": {"um": 3},
        "seconds": {},
        "versions": {"torch": "2.11.0"},
        "gpu": None,
        "commit": None,
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_evaluations_in_one_entry(tmp_path: Path) -> None:
    for number in range(3):
        write_evaluation(tmp_path / "sweep" / str(number), number + 1)
    report(tmp_path / "sweep", tmp_path / "entry")
    text = (tmp_path / "entry" / "README.md").read_text()
    assert "segkit evaluate -m checkpoint=a severity=1,2,3" in text
    assert "| perspective | URBAN_ROAD | fog 2 | 80.00 | 90.00 | 90.00 | 90.00 | 90.00 | 90.00 | 10.00 |" in text
    assert text.count("| clean |") == 1
    assert len(json.loads((tmp_path / "entry" / "result.json").read_text())["evaluations"]) == 3


def test_classes_that_are_left_out_are_named(tmp_path: Path) -> None:
    left_out = {"network": ["rider"], "data": [], "ignored": ["terrain", "wall"], "background": ["sky"]}
    for number in range(2):
        path = write_evaluation(tmp_path / "sweep" / str(number), number + 1) / "result.json"
        result = json.loads(path.read_text()) | ({"left_out": left_out} if number else {})
        path.write_text(json.dumps(result))
    for source, where in (("sweep", " (1 of 2 evaluations)"), ("sweep/1", "")):
        report(tmp_path / source, tmp_path / source.replace("/", "_"))
        lines = (tmp_path / source.replace("/", "_") / "README.md").read_text().splitlines()
        assert [line for line in lines if line.startswith("- Classes")] == [
            f"- Classes not compared, wrong where the network says so: rider{where}",
            f"- Classes left out by data.classes, pixels that are not scored: terrain, wall{where}",
            f"- Classes not named in data.classes, part of the background: sky{where}",
        ]
    report(write_run(tmp_path / "run", RESULT | {"left_out": {"ignored": ["wall"]}}), tmp_path / "of_run")
    text = (tmp_path / "of_run" / "README.md").read_text()
    assert "\n- Classes left out by data.classes, pixels that are not scored: wall\n" in text


def test_averaged_evaluations_are_told_apart_from_plain_ones(tmp_path: Path) -> None:
    for number, more in enumerate(({}, {"average": ["flip", 1.5], "networks": 1}, {"average": [], "networks": 3})):
        path = write_evaluation(tmp_path / "sweep" / str(number), 1) / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | more))
    report(tmp_path / "sweep", tmp_path / "entry")
    text = (tmp_path / "entry" / "README.md").read_text()
    for label in ("plain", "average=[flip,1.5]", "mean of 3 networks"):
        for pictures in ("clean", "fog 1"):
            assert text.count(f"| {label} | perspective | URBAN_ROAD | {pictures} |") == 1


def test_runs_and_evaluations_are_not_mixed(tmp_path: Path) -> None:
    training, evaluation = write_run(tmp_path / "run", RESULT), write_evaluation(tmp_path / "evaluation", 1)
    with pytest.raises(UserError, match="give the ones or the others"):
        compare_runs(tmp_path, run=[str(training), str(evaluation)])
    with pytest.raises(UserError, match=r"run=.*/nothing: no such folder"):
        compare_runs(tmp_path, run=[str(training), str(tmp_path / "nothing")])


def test_evaluations_without_a_result_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2):
        write_evaluation(tmp_path / "sweep" / str(number), number)
    (tmp_path / "sweep" / "2" / "result.json").unlink()
    report(tmp_path / "sweep", tmp_path / "entry")
    assert "left out, having no result.json: 2" in caplog.text
    assert "segkit evaluate checkpoint=a severity=1" in (tmp_path / "entry" / "README.md").read_text()


def test_what_makes_no_table_is_refused(tmp_path: Path) -> None:
    path, _ = (write_evaluation(tmp_path / "sweep" / str(number), number) / "result.json" for number in (1, 2))
    result = json.loads(path.read_text())
    path.write_text(json.dumps({"classes": {}} | {k: v for k, v in result.items() if k != "perspective"}))
    with pytest.raises(UserError, match="some of these evaluations have road scores and some have not"):
        report(tmp_path / "sweep", tmp_path / "entry")
    path.write_text(json.dumps(result | {"part": "train"}))
    with pytest.raises(UserError, match="these evaluations are of different pictures"):
        report(tmp_path / "sweep", tmp_path / "entry")
    path.write_text("{")
    with pytest.raises(UserError, match=r"result\.json is damaged"):
        report(tmp_path / "sweep", tmp_path / "entry")


def write_sweep(folder: Path) -> Path:
    for seed, iou in enumerate((0.5, 0.9, 0.7)):
        run_folders.write_run(folder / f"job{seed}", run_folders.finished(iou), seed=seed)
    return folder


def test_a_sweep_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = write_sweep(Path("outputs/sweeps/mine"))
    write_evaluation(sweep / "scores", 1)
    with caplog.at_level("INFO"):
        text = compare_runs(tmp_path, sweep="mine")
    assert text.startswith("# Sweep mine\n")
    assert "3 runs: 3 finished; best: seed=1, iou 0.9000" in text
    assert "1     1  0.9000" in caplog.text  # the table on the screen
    assert "written: " in caplog.messages[-1]


def test_several_runs_are_reported_as_a_sweep(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    for several in (str(sweep), [str(sweep / "job0"), str(sweep / "job1"), str(sweep), str(sweep / "job2")]):
        text = compare_runs(tmp_path, run=several, question="Which seed?")
        assert text.startswith("# Which seed?\n")
        assert text.count("python train.py seed=") == 3
    result = json.loads((tmp_path / "entry" / "result.json").read_text())
    assert [row["folder"] for row in result["rows"]] == ["job1", "job2", "job0"]
    single = compare_runs(tmp_path, run=[str(sweep / "job1")])
    assert "- Status: finished; best epoch 2" in single


def test_a_sweeps_report_is_not_written_over_somebodys_own_file(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / "README.md").write_text("my own notes")
    with pytest.raises(UserError, match=r"README\.md was not written by segkit report"):
        compare_runs(tmp_path, sweep=str(sweep))
    assert sorted(path.name for path in (tmp_path / "entry").iterdir()) == [".lock", "README.md"]


def test_one_of_run_and_sweep_is_given(tmp_path: Path) -> None:
    for both in (None, "a"):
        with pytest.raises(UserError, match=r"give run=<run folder> or sweep=<name or folder>, one of the two"):
            compare_runs(tmp_path, run=both, sweep=both)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"sweep=.*/empty: no run folders of segkit train"):
        compare_runs(tmp_path, sweep=str(tmp_path / "empty"))


def test_a_sweep_keeps_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sweep(Path("outputs/sweeps/mine"))
    write_sweep(Path("my sweep"))
    for words, added in (
        (["sweep=mine"], ["into=outputs/sweeps/mine/report"]),
        (["sweep='my sweep'", "pictures=1"], ["into='my sweep/report'"]),
        (["sweep=mine", "into=here"], []),
        (["run=a"], []),
    ):
        assert prepare(Typed(words)).words == [*words, *added]
    with pytest.raises(UserError, match="sweep=theirs: no such sweep"):
        prepare(Typed(["sweep=theirs"]))
    with pytest.raises(UserError, match="give run=<run folder> or sweep=<name or folder>"):
        prepare(Typed([]))
