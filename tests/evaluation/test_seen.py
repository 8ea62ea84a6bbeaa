"""Which scored pictures a network was trained on, by the kept settings of its run."""

from pathlib import Path
from typing import Any

import pytest

from segkit.data.datasets.camvid import CamVidDataModule
from segkit.evaluation.seen import seen_in_training
from segkit.remote import local
from segkit.runs.find import TrainedRun
from segkit.runs.read import Run


def trained(root: Path | str, overfit: int | None = None, **data: Any) -> TrainedRun:
    own = {"_target_": "segkit.data.datasets.camvid.CamVidDataModule", "root": str(root), "image_shape": [15, 20]}
    settings = {"data": {**own, "batch_size": 2, "augment": {"flip": 0.5}, **data}, "trainer": {"overfit": overfit}}
    return TrainedRun(Path("best.ckpt"), Run(Path("run"), settings, {}, {}, "finished"))


def warned(root: Path, *runs: TrainedRun) -> list[str]:
    module = CamVidDataModule(root, [15, 20], 2)
    return list(seen_in_training(runs, trained(root).settings()["data"], module.labelled()))


def test_the_pictures_of_the_runs_own_training_part_are_counted(camvid_root: Path, tmp_path: Path) -> None:
    for count, settings in (
        (6, {}),
        (6, {"split": "official", "held_out": ["0001TP"]}),  # as older versions kept it
        (3, {"split": "drive"}),
        (9, {"train_on": ["train", "val"]}),
        (2, {"overfit": 2}),
    ):
        (line,) = warned(camvid_root, trained(camvid_root, **settings))
        assert line.startswith(f"run was trained on {count} of the 9 pictures that are scored")


def test_a_run_on_a_bucket_is_known_by_the_address_that_the_copy_is_of(
    camvid_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained("s3://bucket/camvid")
    assert warned(camvid_root, run) == []
    monkeypatch.setitem(local._copies, str(camvid_root), "s3://bucket/camvid")
    (line,) = warned(camvid_root, run)
    assert line.startswith("run was trained on 6 of the 9 pictures that are scored")


def test_nothing_is_said_of_what_nobody_can_tell(camvid_root: Path, tmp_path: Path) -> None:
    assert warned(camvid_root, TrainedRun(Path("best.ckpt"), None)) == []
    assert warned(camvid_root, trained(tmp_path)) == []
    assert warned(camvid_root, trained(camvid_root, split="of another version")) == []
    (line,) = warned(camvid_root, trained(camvid_root, split="of another version"), trained(tmp_path))
    assert line == f"run was trained on {tmp_path}, perhaps on pictures that are scored"
