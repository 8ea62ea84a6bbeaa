"""Commands on what lies in a bucket, and whole runs with their folder mirrored there, in processes of their own."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.commands.in_process import segkit
from tests.commands.test_train import SETTINGS, SIGNALLED, run
from tests.fixtures import SMALLEST, write_kitti
from tests.remote.server import Bucket
from tests.remote.test_local import answers

REMOTE = [*SETTINGS, *SMALLEST, "data.root=s3://roads/data_road", "upload=s3://roads/runs"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_a_killed_run_goes_on_from_s3_on_another_machine_to_the_same_weights(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put_tree(write_kitti(tmp_path / "kitti"), "data_road")
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    plain = "from segkit.cli import main; main()"
    done = run(plain, *REMOTE, "hydra.run.dir=outputs/train/whole", cwd=first)
    assert done.returncode == 0, done.stderr
    whole = first / "outputs" / "train" / "whole"
    there = set(bucket.keys("runs/train/whole/"))
    here = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()}
    assert there == {f"runs/train/whole/{name}" for name in here - {".lock"}}
    assert json.loads(bucket.get("runs/train/whole/result.json"))["status"] == "finished"

    # Killed in its third epoch, once the second one's checkpoints are in the bucket.
    script = SIGNALLED.format(hook="on_train_epoch_start", point="(2, None)", signal="SIGKILL")
    waiting = """
import time
def wait(self, trainer, module, before=LastCheckpoint.on_train_epoch_end):
    before(self, trainer, module)
    from segkit.remote import mirror
    while trainer.current_epoch == 1 and any(name.endswith(".ckpt") for name in unsent()): time.sleep(0.05)
def unsent():
    import gc
    from segkit.remote.mirror import Mirror
    (found,) = [each for each in gc.get_objects() if isinstance(each, Mirror)]
    return found._changed()
LastCheckpoint.on_train_epoch_end = wait
"""
    script = script.replace("from segkit.cli", f"{waiting}\nfrom segkit.cli")
    killed = run(script, *REMOTE, "hydra.run.dir=outputs/train/cut", cwd=first)
    assert killed.returncode == -9, killed.stderr
    shutil.rmtree(first / "outputs" / "train" / "cut")
    resumed = run(plain, "resume=s3://roads/runs/train/cut", cwd=second)
    assert resumed.returncode == 0, resumed.stderr
    assert "going on from" in resumed.stdout
    folder = second / "outputs" / "train" / "cut"
    assert [epoch["epoch"] for epoch in json.loads((folder / "result.json").read_text())["epochs"]] == [1, 2, 3]
    resumed_weights = weights(folder)
    for name, value in weights(whole).items():
        assert torch.equal(resumed_weights[name], value), name
    assert json.loads(bucket.get("runs/train/cut/result.json"))["status"] == "finished"

    whole_sweep = segkit("report", "sweep=s3://roads/runs/train", "pictures=1", cwd=second)
    assert whole_sweep.code == 0, whole_sweep.err
    assert "2 finished" in whole_sweep.out
    report = second / "outputs" / "sweeps" / "train" / "report"
    assert {path.suffix for path in report.iterdir()} >= {".html", ".png", ".jpg", ".csv"}
    scored = segkit("evaluate", "checkpoint=s3://roads/runs/train/whole", "view=perspective", cwd=second)
    assert scored.code == 0, scored.err
    painted = segkit(
        "predict", "checkpoint=s3://roads/runs/train/whole/checkpoints/best.ckpt",
        "input=s3://roads/data_road/testing/image_2", "output=painted", "format=mask", cwd=second,
    )  # fmt: skip
    assert painted.code == 0, painted.err
    assert len(list((second / "painted" / "mask").iterdir())) == 6


def test_a_run_whose_folder_could_not_be_sent_exits_with_1(bucket: Bucket, tmp_path: Path) -> None:
    write_kitti(tmp_path / "kitti")

    def fault(environ: dict[str, Any], *rest: Any) -> Any:
        large = environ["PATH_INFO"].endswith(".ckpt")
        return answers("403 Forbidden", "AccessDenied", when="PUT")(environ, *rest) if large else None

    bucket.fault = fault
    words = [f"data.root={tmp_path / 'kitti'}", "upload=s3://roads/runs", "trainer.max_epochs=1", "predictions=0"]
    done = run("from segkit.cli import main; main()", *SETTINGS, *SMALLEST, *words, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "not sent: checkpoints/last.ckpt, checkpoints/best.ckpt, " in done.stdout
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "finished"
    bucket.fault = None
    rest = run("from segkit.cli import main; main()", f"resume={tmp_path / 'run'}", cwd=tmp_path)
    assert rest.returncode == 0, rest.stderr
    assert bucket.get("runs/run/checkpoints/last.ckpt") == (tmp_path / "run/checkpoints/last.ckpt").read_bytes()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", *SETTINGS, "data.root=s3://rods/x"], "data.root=s3://rods/x: there is no bucket of this name"),
        (["train", *SETTINGS, "resume=s3://roads/x"], "resume=s3://roads/x: there is nothing"),
        (["train", *SETTINGS, "upload=s3://rods/x"], "upload=s3://rods/x: there is no bucket of this name"),
        (["train", *SETTINGS, "hydra.run.dir=s3://roads/x"], "s3://roads/x: results are written to a folder of this"),
        (["predict", "checkpoint=s3://roads/x", "input=here"], "checkpoint=s3://roads/x: there is nothing"),
        (["predict", "checkpoint=x", "input=s3://roads/x"], "input=s3://roads/x: there is nothing"),
        (
            ["predict", "checkpoint=x", "input=x", "output=s3://roads/x"],
            "s3://roads/x: results are written to a folder",
        ),
        (["evaluate", "checkpoint=s3://roads/x"], "checkpoint=s3://roads/x: there is nothing"),
        (["average", "checkpoint=[s3://roads/x,b]", "output=s.ckpt"], "checkpoint=s3://roads/x: there is nothing"),
        (["average", "checkpoint=[a,b]", "output=s3://roads/s.ckpt"], "output=s3://roads/s.ckpt: is written"),
        (["report", "sweep=s3://roads/x"], "sweep=s3://roads/x: there is nothing"),
        (["data", "data.root=s3://roads/x"], "data.root=s3://roads/x: there is nothing"),
        (["data", "action=generate", "data.root=s3://roads/x"], "data.root=s3://roads/x: is written"),
    ],
)
def test_mistakes_are_a_line_and_exit_code_2(words: list[str], told: str, bucket: Bucket, tmp_path: Path) -> None:
    outcome = segkit(*words, cwd=tmp_path)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {told}"), outcome.err
    assert outcome.err.count("\n") == 1
    assert not list(tmp_path.rglob("*.json"))
    assert bucket.keys() == []


def test_what_is_wrong_with_a_copy_is_told_of_its_address(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("sets/data_road/notes.txt", b"")
    bucket.put_tree(write_kitti(tmp_path / "kitti"), "sets/data_road/inner")
    outcome = segkit("data", "data.root=s3://roads/sets/data_road", cwd=tmp_path)
    assert outcome.code == 2
    assert outcome.err.startswith("error: data.root=s3://roads/sets/data_road: has no training/image_2/")
    assert outcome.err.endswith("data.root=s3://roads/sets/data_road/inner\n")
