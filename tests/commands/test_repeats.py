"""The same seed on the same machine: every recipe gives the same bits twice, and the number of workers, the number of
processes and where a run was cut off change nothing, with averaged weights and pasted objects too."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segkit.commands.train import SETTINGS, fit_settings
from segkit.config.compose import CONF, composed, resolved
from segkit.config.schema import validate
from segkit.training.callbacks.ema import TRAINED
from segkit.training.checkpoints import AtomicCheckpointIO, LastCheckpoint
from tests.fixtures import write_camvid, write_kitti, write_kitti_semantic
from tests.training.small_task import equal

RECIPES = sorted(
    str(path.relative_to(CONF / "experiment").with_suffix("")) for path in CONF.glob("experiment/**/*.yaml")
)
WRITERS: dict[str, Callable[[Path], Path]] = {
    "camvid": write_camvid,
    "kitti_road": write_kitti,
    "kitti_semantic": write_kitti_semantic,
}
SMALL = {
    "data.image_shape": "[32,64]",
    "data.batch_size": 2,
    "data.workers": 0,
    "model.weights": "null",
    "model.fc_channels": 8,
    "trainer.gpus": 0,
    "trainer.monitor": "val/iou",  # the road score's pictures have calibrations
    "trainer.logger": "csv",
    "trainer.max_epochs": 1,
    "trainer.validate_every": 1,
    "trainer.limit_batches": 1,
}
OWN_PARTS = {"camvid": {}, "kitti_road": {"data.split": "fraction"}, "kitti_semantic": {"data.val_fraction": 0.3}}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("repeats")
    for name, write in WRITERS.items():
        write(work / name)
    return work


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What ``last.ckpt`` holds of each run, without the files: recipes' networks are large."""
    kept: list[dict[str, Any]] = []

    def save(self: Any, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if Path(path).name == "last.ckpt":
            weights = {part: copied(checkpoint[part]) for part in ("state_dict", TRAINED) if part in checkpoint}
            kept.append(weights | {"about": json.dumps(checkpoint["segkit"])})

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", save)
    return kept


def copied(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in weights.items()}


def same_bits(one: dict[str, Any], other: dict[str, Any]) -> bool:
    weights = [part for part in one if part != "about"]
    return (
        one.keys() == other.keys()
        and one["about"] == other["about"]
        and all(equal(one[part], other[part]) for part in weights)
    )


def settings_of(work: Path, words: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    chosen = composed("train", [f"{key}={value}" for key, value in words.items()])
    choice = str(chosen.hydra.runtime.choices.data)
    typed = SMALL | OWN_PARTS[choice] | {"data.root": work / choice, "data.cache_dir": work / "cache"} | more
    # fc_channels is FCN's alone.
    known = {f"{group}.{key}" for group in ("data", "model", "trainer") for key in chosen[group]}
    words = words | {key: value for key, value in typed.items() if key in known or key in more}
    settings = resolved(composed("train", [f"{key}={value}" for key, value in words.items()]))
    validate(SETTINGS, settings)
    return settings


def epochs(settings: dict[str, Any], folder: Path) -> list[dict[str, float]]:
    found = fit_settings(settings, folder / "checkpoints" / "last.ckpt").epochs
    return [{name: value for name, value in epoch.items() if "second" not in name} for epoch in found]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_gives_the_same_bits_twice(
    recipe: str, work: Path, tmp_path: Path, saved: list[dict[str, Any]]
) -> None:
    settings = settings_of(work, {"experiment": recipe}, {})
    one, other = (epochs(settings, tmp_path / name) for name in ("one", "other"))
    assert json.dumps(one) == json.dumps(other)  # NaN is NaN
    first, second = saved
    assert same_bits(first, second)


LONG = {
    "trainer.max_epochs": 3,
    "trainer.limit_batches": 2,
    "trainer.ema": 0.9,
    "augment.paste": 1.0,
    "augment.classmix": 0.5,
    "model.decoder.width": 16,
}
"""Three epochs of a small network; its auxiliary scores have dropout."""


@pytest.fixture(scope="module")
def long(work: Path) -> dict[str, Any]:
    words = {"experiment": "camvid_best", "model.encoder": "mobilenet_v3_large"}
    return settings_of(work, words, LONG)


@pytest.fixture(scope="module")
def whole(long: dict[str, Any], work: Path) -> Path:
    """The folder of a run that nothing disturbs, and beside it ``<epoch>.ckpt``, its ``last.ckpt`` after each epoch."""
    save = AtomicCheckpointIO.save_checkpoint

    def keep(self: AtomicCheckpointIO, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save(self, checkpoint, path, storage_options)
        if Path(path).name == "last.ckpt":
            shutil.copyfile(path, work / f"{checkpoint['segkit']['epoch']}.ckpt")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LastCheckpoint, "EVERY_SECONDS", 0.0)
        patch.setattr(AtomicCheckpointIO, "save_checkpoint", keep)
        epochs(long, work / "whole")
    return work / "whole"


def last(folder: Path) -> dict[str, Any]:
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    adam = checkpoint["optimizer_states"][0]["state"]
    moments = {f"{number}.{name}": value for number, state in adam.items() for name, value in state.items()}
    return {
        "about": json.dumps(checkpoint["segkit"]),
        "moments": moments,
        **{part: checkpoint[part] for part in ("state_dict", TRAINED)},
    }


@pytest.mark.parametrize("epoch", [1, 2])
def test_where_a_run_was_cut_off_changes_nothing(
    epoch: int, whole: Path, long: dict[str, Any], work: Path, tmp_path: Path
) -> None:
    (tmp_path / "checkpoints").mkdir()
    shutil.copyfile(work / f"{epoch}.ckpt", tmp_path / "checkpoints" / "last.ckpt")
    assert len(epochs(long, tmp_path)) == 3
    assert same_bits(last(whole), last(tmp_path))


def test_the_number_of_workers_changes_nothing(whole: Path, long: dict[str, Any], tmp_path: Path) -> None:
    found = epochs(long | {"data": long["data"] | {"workers": 2}}, tmp_path)
    assert len({epoch["loss"] for epoch in found}) == 3
    assert same_bits(last(whole), last(tmp_path))
