"""Whole runs of ``segkit train`` in processes of their own, on tiny generated data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segkit.models.trained import read_checkpoint
from tests.fixtures import write_kitti

SETTINGS = [
    "data.image_shape=[32,64]",
    "data.split=fraction",
    "data.batch_size=4",
    "data.workers=0",
    "augment=road",
    "model.encoder=vgg16_bn",
    "model.weights=null",
    "model.fc_channels=8",
    "model.skip_scale=[1,1]",
    "optimizer.learning_rate=1e-3",
    "optimizer.schedule=cosine",
    "trainer.gpus=0",
    "trainer.max_epochs=3",
    "predictions=2",
]

# A signal to the run itself at an exact point of it, so that the test needs neither sleep nor luck.
SIGNALLED = """
import os, signal
from segkit.training.callbacks.progress import ProgressBar
def send(self, trainer, module, outputs=None, batch=None, batch_idx=None):
    if (trainer.current_epoch, batch_idx) == {point}:
        os.kill(os.getpid(), signal.{signal})
ProgressBar.{hook} = send
from segkit.training.checkpoints import LastCheckpoint
LastCheckpoint.EVERY_SECONDS = 0
from segkit.cli import main
main()
"""
PLAIN = "from segkit.cli import main; main()"


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, "train", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def train(root: Path, folder: Path, *more: str, script: str = PLAIN) -> subprocess.CompletedProcess[str]:
    cache = f"data.cache_dir={folder.parent / 'cache'}"
    where = f"hydra.run.dir={folder}"
    return run(script, *SETTINGS, f"data.root={root}", cache, where, *more, cwd=folder.parent)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def kitti_root(work: Path) -> Path:
    return write_kitti(work / "kitti")


@pytest.fixture(scope="module")
def whole(kitti_root: Path, work: Path) -> Path:
    """A run that nothing disturbs, on one worker, so that the others prove the same on none."""
    done = train(kitti_root, work / "whole", "data.workers=1")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("Epoch")]
    assert len(lines) == 3
    assert lines[0].startswith("Epoch 1 loss: ")
    assert all(word in lines[0] for word in ("mean", "validation loss", "IoU", "accuracy", "images/s"))
    return work / "whole"


def test_a_run_folder_holds_what_the_readme_says(whole: Path) -> None:
    result = json.loads((whole / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["data"]["train"] == {"um": 5, "umm": 5, "uu": 5}
    assert result["data"]["val"] == {"um": 1, "umm": 1, "uu": 1}
    assert [epoch["epoch"] for epoch in result["epochs"]] == [1, 2, 3]
    best = max(result["epochs"], key=lambda epoch: epoch["val/iou"])
    assert result["scores"]["iou"] == best["val/iou"]
    assert result["scores"]["iou"] == best["val/iou/road"]
    assert result["best"]["epoch"] == best["epoch"]
    assert set(result["seconds"]) == {"import", "data", "network", "fit", "predict"}
    assert set(result["versions"]) >= {"torch", "pytorch-lightning"}
    for kind in ("overlay", "mask", "confidence"):
        assert len(list((whole / "predictions" / kind).glob("*.png"))) == 2
    assert (whole / ".hydra" / "config.yaml").is_file()
    assert "Epoch 3 loss" in (whole / "train.log").read_text()


def test_checkpoints_are_plain_data_and_the_best_holds_weights_alone(whole: Path) -> None:
    best = read_checkpoint(whole / "checkpoints" / "best.ckpt", "checkpoint")
    last = torch.load(whole / "checkpoints" / "last.ckpt", weights_only=True)
    assert "optimizer_states" in last
    assert "optimizer_states" not in best
    assert best["segkit"]["scores"]["iou"] == json.loads((whole / "result.json").read_text())["scores"]["iou"]
    assert [item["name"] for item in best["segkit"]["classes"]] == ["background", "road"]
    assert best["segkit"]["model"]["_target_"] == "segkit.models.fcn.FCN"
    assert "hyper_parameters" not in best  # Lightning's, who would build the task by itself


def test_tensorboard_has_every_batch_every_epoch_and_pictures(whole: Path) -> None:
    events = EventAccumulator(str(whole / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    result = json.loads((whole / "result.json").read_text())
    steps = [event.step for event in events.Scalars("train/loss")]
    assert steps == list(range(1, 13))  # 15 pictures, batches of 4, 3 epochs
    mean = sum(event.value for event in events.Scalars("train/loss")[:4]) / 4
    assert mean == pytest.approx(result["epochs"][0]["mean_loss"], rel=1e-5)
    for tag in ("train/epoch_loss", "val/loss", "val/iou", "val/iou/road", "val/accuracy", "train/images_per_second"):
        assert len(events.Scalars(tag)) == 3, tag
    assert {tag.split("/")[0] for tag in events.Tags()["scalars"]} == {"train", "val", "val_best"}
    rates = [event.value for event in events.Scalars("train/learning_rate")]
    assert rates[0] == pytest.approx(1e-3)
    assert rates == sorted(rates, reverse=True)
    assert len([tag for tag in events.Tags()["images"] if tag.startswith("validation/")]) == 3
    assert "config/text_summary" in events.Tags()["tensors"]
    assert events.Scalars("val_best/iou")[-1].value == pytest.approx(result["scores"]["iou"])


def test_killed_then_terminated_then_resumed_ends_with_the_same_weights(
    kitti_root: Path, work: Path, whole: Path
) -> None:
    folder = work / "cut"
    killed = train(
        kitti_root, folder, script=SIGNALLED.format(hook="on_train_epoch_start", point="(1, None)", signal="SIGKILL")
    )
    assert killed.returncode == -9, killed.stderr
    assert json.loads((folder / "result.json").read_text())["status"] == "running"  # it had no time to say more
    assert (folder / "checkpoints" / "last.ckpt").exists()

    script = SIGNALLED.format(hook="on_train_batch_end", point="(2, 1)", signal="SIGTERM")
    terminated = run(script, f"resume={folder}", cwd=work)
    assert terminated.returncode == 143, terminated.stderr
    assert "Traceback" not in terminated.stderr
    assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
    assert read_checkpoint(folder / "checkpoints" / "interrupted.ckpt", "checkpoint")["segkit"]["epoch"] == 3

    resumed = run(PLAIN, f"resume={folder}", cwd=work)
    assert resumed.returncode == 0, resumed.stderr
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "finished"
    assert [epoch["epoch"] for epoch in result["epochs"]] == [1, 2, 3]
    expected, found = weights(whole), weights(folder)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_short_epochs_that_were_not_saved_yet_are_not_lost(kitti_root: Path, work: Path) -> None:
    folder = work / "short"
    script = SIGNALLED.format(hook="on_train_batch_end", point="(1, 0)", signal="SIGTERM")
    terminated = train(kitti_root, folder, script=script.replace("EVERY_SECONDS = 0", "EVERY_SECONDS = 1e9"))
    assert terminated.returncode == 143, terminated.stderr
    assert "SIGTERM: stopping after this epoch, so that none is lost" in terminated.stdout
    assert "goes on after epoch 2, the last that was saved" in terminated.stdout
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], [epoch["epoch"] for epoch in result["epochs"]]) == ("interrupted", [1, 2])


def test_a_loss_that_is_not_finite_stops_the_run(kitti_root: Path, work: Path) -> None:
    folder = work / "wild"
    done = train(kitti_root, folder, "optimizer.learning_rate=1e30")
    assert done.returncode == 2
    assert "the loss is " in done.stderr
    assert "at step 2 (epoch 1)" in done.stderr
    assert "optimizer.learning_rate" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
    assert json.loads((folder / "result.json").read_text())["status"] == "failed"
    assert not list(folder.glob("checkpoints/*.ckpt"))


def test_a_resume_that_does_not_fit_is_refused_and_changes_nothing(work: Path, whole: Path) -> None:
    def hidden_and_checkpoints() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in whole.glob("*/*") if path.parent.name in (".hydra", "checkpoints")}

    before = hidden_and_checkpoints()
    for setting, message in [
        ("model.fc_channels=16", "resume: the model settings are not those that the run began with"),
        ("trainer.max_epochs=1", "trainer.max_epochs=1: this run has done 3 epochs already"),
        ("trainer.monitor=val/loss", "this run has chosen its best checkpoint by val/iou; go on with that"),
    ]:
        done = run(PLAIN, f"resume={whole}", setting, cwd=work)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert hidden_and_checkpoints() == before


def test_a_run_is_not_mixed_with_another(kitti_root: Path, work: Path, whole: Path) -> None:
    before = (whole / "result.json").read_bytes()
    other = train(kitti_root, whole, "seed=7")
    assert other.returncode == 2
    assert f"{whole} holds a run with other settings; resume={whole} goes on with it" in other.stderr
    predict = [sys.executable, "-c", PLAIN, "predict", f"checkpoint={whole}", f"input={kitti_root}", f"output={whole}"]
    done = subprocess.run(predict, cwd=work, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{whole} is a folder of segkit train; give segkit predict another one" in done.stderr
    assert (whole / "result.json").read_bytes() == before


def test_accumulated_batches_are_logged_with_their_own_loss(kitti_root: Path, work: Path) -> None:
    frozen = [
        "optimizer.learning_rate=1e-12",
        "model.dropout=0",
        "augment=none",
        "trainer.max_epochs=1",
        "predictions=0",
    ]
    one = train(kitti_root, work / "single", *frozen)
    three = train(kitti_root, work / "accumulated", *frozen, "trainer.accumulate=3")
    assert (one.returncode, three.returncode) == (0, 0), three.stderr
    first, second = (json.loads((work / name / "result.json").read_text()) for name in ("single", "accumulated"))
    assert second["epochs"][0]["mean_loss"] == pytest.approx(first["epochs"][0]["mean_loss"], rel=1e-3)


def test_a_broken_data_set_is_one_report_and_no_run_folder(kitti_root: Path, work: Path, tmp_path: Path) -> None:
    done = train(kitti_root / "training", tmp_path / "never")
    assert done.returncode == 2
    assert f"data.root={kitti_root}" in done.stderr
    assert not (tmp_path / "never").exists()
