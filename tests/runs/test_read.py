import fcntl
import json
from pathlib import Path

import pytest

from segkit.errors import UserError
from segkit.runs.find import find_checkpoints, find_runs, find_sweep, is_sweep, run_folders
from segkit.runs.folder import RunFolder
from segkit.runs.kept import TrainingResult
from segkit.runs.read import checked_result, is_locked, is_training, read_result, read_run
from tests.reporting.run_folders import epoch, finished, write_run


@pytest.mark.parametrize(
    ("said", "locked", "status"),
    [
        ("finished", False, "finished"),
        ("finished", True, "finished"),  # it paints its pictures
        ("failed", False, "failed"),
        ("failed", True, "running"),  # it is tried again
        ("pruned", False, "pruned"),
        ("interrupted", False, "interrupted"),
        ("running", True, "running"),
        ("running", False, "cut off"),
        (None, True, "running"),
        (None, False, "cut off"),
    ],
)
def test_a_lock_tells_what_runs_from_what_was_cut_off(
    tmp_path: Path, said: str | None, locked: bool, status: str
) -> None:
    folder = write_run(tmp_path / "run", None if said is None else {"status": said, "epochs": []})
    lock = RunFolder(folder)
    if not locked:
        lock.close()
    assert read_run(folder).status == status
    assert is_locked(folder) == locked  # reading has not taken or broken it
    lock.close()
    RunFolder(folder).close()


def test_looking_whether_a_folder_is_locked_leaves_nothing_and_keeps_nobody_out(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    owner = RunFolder(tmp_path)
    assert is_locked(tmp_path)
    assert is_locked(tmp_path)
    owner.close()
    with open(tmp_path / ".lock") as another:
        fcntl.flock(another, fcntl.LOCK_SH)  # one who looks at the same time is no owner
        assert not is_locked(tmp_path)
    RunFolder(tmp_path).close()


def test_a_run_that_nobody_has_begun_with_waits(tmp_path: Path) -> None:
    assert read_run(write_run(tmp_path / "run", None)).progress == "waiting"


def test_an_unfinished_run_has_the_scores_of_its_best_epoch_so_far(tmp_path: Path) -> None:
    epochs = [epoch(1, 0.9, iou=0.5, loss=0.3), epoch(2, 0.8, iou=0.7, loss=0.4), epoch(3, 0.7, iou=None, loss=0.5)]
    result = {"status": "interrupted", "reason": "SIGTERM", "epochs": epochs}
    run = read_run(write_run(tmp_path / "iou", result))
    assert (run.best_epoch, run.scores) == (2, {"iou": 0.7, "loss": 0.4})
    assert (run.progress, run.reason) == ("interrupted, 3 of 4 epochs", "SIGTERM")
    by_loss = read_run(write_run(tmp_path / "loss", result, trainer__monitor="val/loss"))
    assert (by_loss.best_epoch, by_loss.scores["loss"]) == (1, 0.3)
    nothing = read_run(write_run(tmp_path / "none", {"status": "failed", "reason": "no data"}))
    assert (nothing.best_epoch, nothing.scores, nothing.progress) == (None, {}, "failed, 0 of 4 epochs")


def test_a_finished_run_has_the_scores_of_its_checkpoint(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", finished(0.8, best=3), seed=7))
    assert (run.best_epoch, run.scores["iou"]) == (3, 0.8)
    assert run.settings["data"]["seed"] == 7  # ${seed}
    assert run.choice("augment") == "flip"
    assert run.choice("model") is None
    assert run.overrides() == ["seed=7"]


def test_what_is_no_training_run_is_told_apart(tmp_path: Path) -> None:
    evaluation = tmp_path / "evaluation"
    (evaluation / ".hydra").mkdir(parents=True)
    (evaluation / ".hydra" / "config.yaml").write_text("checkpoint: a\n")
    (evaluation / "result.json").write_text(json.dumps({"part": "val"}))
    assert not is_training(evaluation)
    assert is_training(write_run(tmp_path / "run", None))
    with pytest.raises(UserError, match="no run folder of segkit train"):
        read_run(evaluation)
    (tmp_path / "run" / ".hydra" / "config.yaml").write_text("{")
    with pytest.raises(UserError, match=r"config\.yaml is damaged"):
        read_run(tmp_path / "run")


def test_the_run_folders_of_a_sweep(tmp_path: Path) -> None:
    for name in ("10", "9"):
        write_run(tmp_path / "sweep" / name, None)
    (tmp_path / "sweep" / "report").mkdir()
    (tmp_path / "sweep" / "report" / "result.json").write_text("{}")
    assert [path.name for path in run_folders(tmp_path / "sweep")] == ["9", "10"]
    assert run_folders(tmp_path / "sweep" / "9") == [tmp_path / "sweep" / "9"]


def test_a_sweep_is_found_by_its_name_or_as_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "outputs" / "sweeps" / "mine" / "job", None)
    assert find_sweep("mine") == Path("outputs/sweeps/mine")
    assert find_sweep("outputs/sweeps/mine") == Path("outputs/sweeps/mine")
    with pytest.raises(UserError, match="sweep=theirs: no such sweep"):
        find_sweep("theirs")
    with pytest.raises(UserError, match="this is a run folder; give run="):
        find_sweep("outputs/sweeps/mine/job")
    with pytest.raises(UserError, match="no such sweep"):
        find_sweep("")


def test_a_checkpoint_and_the_run_that_it_lies_in(tmp_path: Path) -> None:
    for name in ("10", "9"):
        run = write_run(tmp_path / "sweep" / name, finished(0.8), seed=7)
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "best.ckpt").touch()
    (tmp_path / "alone.ckpt").touch()
    (alone,) = find_runs(str(tmp_path / "alone.ckpt"))
    assert (alone.folder, alone.settings(), alone.command(), alone.finished()) == (None, {}, [], False)
    nine, ten = find_runs(str(tmp_path / "sweep"))
    assert (nine.folder, ten.folder) == (tmp_path / "sweep" / "9", tmp_path / "sweep" / "10")
    assert is_sweep(str(tmp_path / "sweep"))
    for place in (tmp_path / "sweep" / "9", tmp_path / "sweep" / "9" / "checkpoints" / "best.ckpt"):
        (found,) = find_runs(str(place))
        assert found == nine
        assert not is_sweep(str(place))
    assert (nine.settings()["seed"], nine.command(), nine.finished()) == (7, ["seed=7"], True)
    with pytest.raises(UserError, match=r"checkpoint: .*best\.ckpt does not exist"):
        find_runs(str(tmp_path))


def test_several_checkpoints_are_there_and_none_of_them_twice(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / "best.ckpt").touch()
    (tmp_path / "c.ckpt").touch()
    places = [str(tmp_path / name) for name in ("a", "b", "c.ckpt")]
    best = [tmp_path / name / "checkpoints" / "best.ckpt" for name in ("a", "b")]
    assert find_checkpoints(places, "checkpoint") == [*best, tmp_path / "c.ckpt"]
    with pytest.raises(UserError, match=r"^checkpoint: .*a/checkpoints/best\.ckpt is given twice; give each"):
        find_checkpoints([*places, str(best[0])], "checkpoint")
    with pytest.raises(UserError, match=r"^checkpoint: .*/d does not exist"):
        find_checkpoints([*places, str(tmp_path / "d")], "checkpoint")


def test_what_the_reader_relies_on_is_in_the_published_schema() -> None:
    published = Path(__file__).parents[2] / "docs" / "result.schema.json"
    allowed = json.loads(published.read_text())["$defs"]["train"]["properties"]
    assert TrainingResult.model_fields.keys() - allowed.keys() == {"checkpoint"}  # of other commands


@pytest.mark.parametrize(
    "result",
    [
        {"epochs": "text", "status": "running"},
        {"epochs": [1], "status": "running"},
        {"epochs": [{"epoch": 1, "loss": "low"}]},
        {"status": "done"},
        {"status": "finished", "best": {"epoch": 1}},
        [],
    ],
)
def test_a_result_that_is_no_result_counts_as_none(tmp_path: Path, result: object) -> None:
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert read_result(tmp_path) == {}
    with pytest.raises(UserError, match=r"result\.json is damaged"):
        checked_result(tmp_path)
