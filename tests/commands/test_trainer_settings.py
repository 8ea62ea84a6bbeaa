"""What ``trainer.*``, ``debug=`` and ``init_from=`` make of a run, and every file of ``conf/experiment`` for a step."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from segkit.config.compose import CONF
from segkit.training.callbacks.ema import TRAINED
from tests.commands.in_process import Outcome, segkit
from tests.fixtures import write_calibrations, write_camvid, write_kitti, write_kitti_semantic

EXAMPLES = CONF.parent / "examples"
DATA = ["data.image_shape=[32,64]", "data.batch_size=2", "data.workers=0", "trainer.gpus=0"]
# The smallest encoder at hand, which has batch normalisation.
TINY = [*DATA, "model=tiny_encoder", "model.decoder.width=4", "optimizer.learning_rate=1e-2"]
KITTI = ["data.root=kitti", "data.split=fraction"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the examples and tiny data: 5 + 1 pictures of KITTI road, 4 + 2 of CamVid."""
    work = tmp_path_factory.mktemp("settings")
    shutil.copytree(EXAMPLES, work, dirs_exist_ok=True)
    write_kitti(work / "kitti", count=2, tests=1)
    write_calibrations(work / "kitti")
    write_camvid(work / "camvid", train=4, val=2)
    write_kitti_semantic(work / "semantic", training=4, testing=1)
    return work


def train(work: Path, name: str, *words: str) -> Outcome:
    done = segkit("train", *TINY, *KITTI, "trainer.max_epochs=1", "predictions=0", *words, f"name={name}", cwd=work)
    assert done.code == 0, done.err
    return done


def folder(work: Path, name: str) -> Path:
    (found,) = (work / "outputs" / name).iterdir()
    return found


def result(work: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder(work, name) / "result.json").read_text())
    assert content["status"] == "finished"
    return content


def checkpoint(work: Path, name: str, file: str) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder(work, name) / "checkpoints" / file, weights_only=True)
    return content


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key.startswith(f"network.{name}.")}


@pytest.fixture(scope="module")
def averaged(work: Path) -> Path:
    train(work, "averaged", "trainer.ema=0.9", "trainer.max_epochs=2")
    return folder(work, "averaged")


def test_the_average_is_what_is_kept(work: Path) -> None:
    train(work, "average", "trainer.ema=0.9")
    train(work, "plain")
    best, last = (checkpoint(work, "average", f"{name}.ckpt") for name in ("best", "last"))
    assert equal(best["state_dict"], last["state_dict"])
    assert TRAINED not in best
    # What was trained is what it would have been without an average.
    assert equal(last[TRAINED], checkpoint(work, "plain", "last.ckpt")["state_dict"])
    assert not equal(last[TRAINED], last["state_dict"])
    assert best["segkit"]["scores"]["loss"] == result(work, "average")["epochs"][0]["val/loss"]
    assert best["segkit"]["scores"]["loss"] != result(work, "plain")["epochs"][0]["val/loss"]


def test_a_run_with_an_average_goes_on_to_the_bit(work: Path, averaged: Path) -> None:
    train(work, "halted", "trainer.ema=0.9")
    done = segkit("train", f"resume={folder(work, 'halted')}", "trainer.max_epochs=2", "trust=tiny_encoder", cwd=work)
    assert done.code == 0, done.err
    whole, halves = (checkpoint(work, name, "last.ckpt") for name in ("averaged", "halted"))
    assert equal(whole["state_dict"], halves["state_dict"])
    assert equal(whole[TRAINED], halves[TRAINED])
    assert [epoch["val/loss"] for epoch in result(work, "averaged")["epochs"]] == [
        epoch["val/loss"] for epoch in result(work, "halted")["epochs"]
    ]


def test_a_frozen_encoder_stays_as_it_is(work: Path, averaged: Path) -> None:
    train(work, "frozen", f"init_from={averaged}", "trainer.freeze=[encoder]")
    before, after = (checkpoint(work, name, "best.ckpt")["state_dict"] for name in ("averaged", "frozen"))
    assert any(name.endswith("running_mean") for name in part(before, "encoder"))
    assert equal(part(before, "encoder"), part(after, "encoder"))
    assert not equal(part(before, "decoder"), part(after, "decoder"))


def test_from_other_classes_is_taken_what_fits(work: Path, averaged: Path) -> None:
    start = [f"init_from={averaged}", "trainer.freeze=[encoder]", "trainer.max_epochs=1", "predictions=0"]
    done = segkit("train", *TINY, "data=camvid", "data.root=camvid", *start, "name=classes", cwd=work)
    assert done.code == 0, done.err
    before, after = (checkpoint(work, name, "best.ckpt")["state_dict"] for name in ("averaged", "classes"))
    assert equal(part(before, "encoder"), part(after, "encoder"))
    other = [name for name in before if before[name].shape != after[name].shape]
    log = (folder(work, "classes") / "train.log").read_text()
    left = ", ".join(name.removeprefix("network.") for name in other)
    assert f"best.ckpt: {len(before) - len(other)} tensors taken, not taken: {left}\n" in log
    assert len(other) == 2  # weights and biases of the last layer


def test_a_start_of_which_nothing_fits_is_refused(work: Path, averaged: Path) -> None:
    other = ["model=fcn8", "model.weights=null", "model.fc_channels=8", *DATA, *KITTI, "hydra.run.dir=never"]
    done = segkit("train", *other, f"init_from={averaged}", cwd=work)
    assert done.code == 2
    assert done.err.startswith("error: init_from: no weights there have a name and a shape of this network's")
    assert not (work / "never").exists()


def test_a_callback_of_lightnings_ends_a_run_early(work: Path) -> None:
    options = "monitor: val/iou, mode: max, min_delta: 2, patience: 1"
    stop = f"trainer.callbacks=[{{_target_: pytorch_lightning.callbacks.EarlyStopping, {options}}}]"
    train(work, "early", stop, "trainer.max_epochs=5")
    assert len(result(work, "early")["epochs"]) == 2  # no score is better than the first by 2
    train(work, "early_every", stop, "trainer.max_epochs=9", "trainer.validate_every=2")
    assert len(result(work, "early_every")["epochs"]) == 4  # patience counts validations


def test_early_stopping_needs_a_validation_part(work: Path) -> None:
    words = [*TINY, *KITTI, "trainer=early_stopping", "data.train_on=[train,val]", "name=unwatched"]
    done = segkit("train", *words, cwd=work)
    assert (done.code, done.err.splitlines()[-1]) == (
        2,
        "error: trainer.callbacks: EarlyStopping watches val/iou, which there is not without a validation part; "
        "leave it out",
    )


def test_the_csv_logger_has_every_step_and_every_epoch(work: Path) -> None:
    train(work, "csv", "trainer.logger=csv", "trainer.max_epochs=2")
    with (folder(work, "csv") / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["train/loss"]]) == 6  # 5 pictures, batches of 2, 2 epochs
    scores = [float(row["val/iou"]) for row in rows if row.get("val/iou")]
    assert scores == pytest.approx([epoch["val/iou"] for epoch in result(work, "csv")["epochs"]])


def test_a_metric_with_a_value_per_class_is_a_score_per_class(work: Path) -> None:
    jaccard = "_target_: torchmetrics.classification.MulticlassJaccardIndex, num_classes: 2, ignore_index: 255"
    name = "MulticlassJaccardIndex"
    monitor = f"trainer.monitor=val/{name}/road"
    train(work, "metrics", f"metrics=[{{{jaccard}, average: none}}]", monitor, "trainer.max_epochs=2")
    found = result(work, "metrics")
    for epoch in found["epochs"]:
        for kind in ("background", "road"):
            assert epoch[f"val/{name}/{kind}"] == pytest.approx(epoch[f"val/iou/{kind}"], rel=1e-6)
    assert found["scores"][f"{name}/road"] == max(epoch[f"val/{name}/road"] for epoch in found["epochs"])


def test_debug_fast_is_two_batches_and_one_picture(work: Path) -> None:
    done = segkit("train", *TINY, *KITTI, "debug=fast", cwd=work)
    assert done.code == 0, done.err
    assert checkpoint(work, "debug", "last.ckpt")["global_step"] == 2
    assert len(list((folder(work, "debug") / "predictions" / "mask").iterdir())) == 1


def test_validation_every_second_epoch(work: Path) -> None:
    train(work, "every", "trainer.max_epochs=3", "trainer.validate_every=2")
    found = result(work, "every")
    assert [("val/iou" in epoch) for epoch in found["epochs"]] == [False, True, True]  # the last one always
    assert found["best"]["epoch"] in (2, 3)


def test_without_a_validation_part_the_last_epoch_is_kept_however_seldom_it_would_be(work: Path) -> None:
    train(work, "all", "data.train_on=[train,val]", "trainer.max_epochs=3", "trainer.validate_every=2")
    found = result(work, "all")
    assert found["best"]["epoch"] == 3
    assert found["scores"] == {"mean_loss": found["epochs"][-1]["mean_loss"]}


def test_debug_overfit_learns_four_pictures(work: Path) -> None:
    train(work, "overfit", "debug=overfit", "trainer.max_epochs=15")
    found = result(work, "overfit")
    counts = [sum(found["data"][split].values()) for split in ("train", "val")]
    assert counts == [4, 4]
    assert found["epochs"][-1]["val/loss"] < found["epochs"][0]["val/loss"] / 2


def test_debug_profile_says_where_the_seconds_go(work: Path) -> None:
    train(work, "profile", "debug=profile")
    (report,) = (folder(work, "profile") / "profile").iterdir()
    assert "run_training_epoch" in report.read_text()


EXPERIMENTS = sorted(
    str(path.relative_to(CONF / "experiment").with_suffix("")) for path in (CONF / "experiment").rglob("*.yaml")
)


def test_the_ablation_ends_at_the_recipe() -> None:
    last = [name for name in EXPERIMENTS if name.startswith("camvid_ablation/")][-1]
    with initialize_config_dir(str(CONF), version_base=None):
        recipes = [compose("train", [f"experiment={name}"]) for name in (last, "camvid")]
    for recipe in recipes:
        recipe.name, recipe.trainer.max_epochs = "", 1
    assert recipes[0] == recipes[1]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_trains(experiment: str, work: Path, tmp_path: Path) -> None:
    own = {"scenes_objects": "semantic", "bundled": "semantic", "demo": "semantic"}
    data = "camvid" if experiment.startswith("camvid") else own.get(experiment, "kitti")
    words = [f"experiment={experiment}", f"data.root={work / data}", *DATA]
    with initialize_config_dir(str(CONF), version_base=None):
        model = compose("train", [f"experiment={experiment}"]).model
    words += ["model.weights=null", "predictions=0", *(["model.fc_channels=4"] if "fc_channels" in model else [])]
    words += ["trainer.max_epochs=1", "trainer.limit_batches=1", "trainer.compile=false"]
    if data == "kitti" and experiment != "seed":
        words.append("data.split=fraction")  # KittiSeg's split is of names that only the full set has
    done = segkit("train", *words, "hydra.run.dir=run", cwd=tmp_path)
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "finished"
    shutil.rmtree(tmp_path / "run")  # checkpoints of hundreds of megabytes
