"""Whole sweeps of ``segkit train -m``, on tiny generated data."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from tests.fixtures import SMALLEST, write_kitti
from tests.processes import SEGKIT, Ended, python

SETTINGS = [
    "data.image_shape=[32,64]",
    "data.split=fraction",
    "data.batch_size=4",
    "data.workers=0",
    *SMALLEST,
    "trainer.gpus=0",
    "trainer.callbacks=[{_target_: mine.Planted}]",
    "predictions=0",
]

# A callback of the user's own, which is what a test can plant in a job's process. Once, in the second job after its
# first epoch, it kills the process of the sweep; and each process of a run says with which settings it has trained.
MINE = """
import json, multiprocessing, os, signal
from pathlib import Path
from pytorch_lightning import Callback
from segkit.training.checkpoints import LastCheckpoint

LastCheckpoint.EVERY_SECONDS = 0

class Planted(Callback):
    def on_train_epoch_start(self, trainer, module):
        fuse, folder = Path("fuse"), trainer.default_root_dir
        if fuse.exists() and trainer.current_epoch == 1 and folder.endswith(fuse.read_text()):
            fuse.unlink()
            os.kill(multiprocessing.parent_process().pid, signal.SIGKILL)
            signal.pause()  # until the job has noticed

    def on_train_end(self, trainer, module):
        weights = sum(float(parameter.double().sum()) for parameter in module.parameters())
        told = {"learning_rate": module.optimization.learning_rate, "weights": weights}
        Path(trainer.default_root_dir, f"rank{trainer.global_rank}.json").write_text(json.dumps(told))
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("sweeps")
    write_kitti(work / "kitti")
    (work / "mine.py").write_text(MINE)
    return work


def sweep(work: Path, name: str, *more: str, below: int = 0) -> Ended:
    where = [f"data.root={work / 'kitti'}", f"data.cache_dir={work / 'cache'}", f"sweep.name={name}"]
    return python(SEGKIT, "train", "-m", *SETTINGS, *where, *more, cwd=work, spawns=1, below=below)


def results(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/result.json")}


def epochs(result: dict[str, Any]) -> list[dict[str, float]]:
    return [{name: value for name, value in epoch.items() if "second" not in name} for epoch in result["epochs"]]


def test_a_sweep_that_was_killed_ends_as_one_that_was_not(work: Path) -> None:
    values = ["optimizer.learning_rate=1e-3,1e9", "seed=0,1", "trainer.max_epochs=2"]
    whole = sweep(work, "whole", *values)
    assert whole.returncode == 1, whole.stderr
    expected = results(work / "outputs" / "sweeps" / "whole")
    assert sorted(result["status"] for result in expected.values()) == ["failed", "failed", "finished", "finished"]
    # The last lines say which and why.
    last = whole.stdout.splitlines()[-2:]
    assert all(line.startswith("failed: optimizer.learning_rate=") and "the loss is" in line for line in last)

    second = next(name for name in expected if name.startswith("learning_rate_0.001_seed_1"))
    (work / "fuse").write_text(second)
    killed = sweep(work, "cut", *values)
    assert killed.returncode == -9, killed.stderr
    folder = work / "outputs" / "sweeps" / "cut"
    before = results(folder)
    assert sorted(result["status"] for result in before.values()) == ["finished", "running"]

    again = sweep(work, "cut", *values)
    assert again.returncode == 1, again.stderr
    assert "skipped: optimizer.learning_rate=0.001 seed=0" in again.stdout
    assert f"going on from {folder / second}" in (folder / second / "train.log").read_text()
    found = results(folder)
    first = next(name for name in found if name.startswith("learning_rate_0.001_seed_0"))
    assert found[first] == before[first]
    assert found.keys() == expected.keys()
    for name in found:
        assert found[name]["status"] == expected[name]["status"]
        assert found[name].get("scores") == expected[name].get("scores")
        # To rounding: how a sum is split up depends on where in memory its terms lie.
        assert epochs(found[name]) == [pytest.approx(epoch, rel=1e-6) for epoch in epochs(expected[name])]
    one, other = (
        torch.load(work / "outputs" / "sweeps" / name / second / "checkpoints" / "last.ckpt", weights_only=True)
        for name in ("whole", "cut")
    )
    for key, value in one["state_dict"].items():
        assert torch.equal(value, other["state_dict"][key]), key


def test_both_processes_of_a_trial_have_its_settings(work: Path) -> None:
    search = [
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=2",
        "optimizer.learning_rate=tag(log,interval(1e-5,1e-2))",
    ]
    search += ["trainer.cpu_processes=2", "data.batch_size=2", "trainer.max_epochs=1"]
    done = sweep(work, "search", *search, below=2)
    assert done.returncode == 0, done.stdout + done.stderr
    told = [
        [json.loads((path.parent / f"rank{rank}.json").read_text()) for rank in (0, 1)]
        for path in (work / "outputs" / "sweeps" / "search").glob("*/result.json")
    ]
    assert len(told) == 2
    for one, other in told:
        assert one == other
    assert told[0][0]["learning_rate"] != told[1][0]["learning_rate"]
    assert shlex.split(done.stdout.splitlines()[0])  # the command that goes on with it


def test_tensorboard_shows_what_was_swept_and_the_scores(work: Path) -> None:
    values = ["optimizer.learning_rate=1e-3,1e-4", "augment=flip,none", "trainer.max_epochs=1"]
    done = sweep(work, "shown", *values)
    assert done.returncode == 0, done.stderr
    found = results(work / "outputs" / "sweeps" / "shown")
    for name, result in found.items():
        events = EventAccumulator(str(work / "outputs" / "sweeps" / "shown" / name / "tensorboard"))
        events.Reload()
        assert events.Scalars("val_best/iou")[-1].value == pytest.approx(result["scores"]["iou"])
        data = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        start = plugin_data_pb2.HParamsPluginData.FromString(data).session_start_info
        rate = start.hparams["optimizer.learning_rate"].number_value
        assert set(start.hparams) == {"optimizer.learning_rate", "augment"}
        assert f"learning_rate_{rate:g}_" in name
        assert ("augment_flip" in name) == (start.hparams["augment"].string_value == "flip=0.5")
