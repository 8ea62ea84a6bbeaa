"""The set on the device as a whole gives the very batches that the loader with worker processes gives."""

from pathlib import Path

import pytest
import torch

from segkit.data.gpu_loader import ResidentLoader
from segkit.data.sampler import EpochSampler
from segkit.road.dataset import KittiRoadDataModule

FLIP = [{"name": "HorizontalFlip", "p": 0.5}]


@pytest.mark.parametrize("augment", [[], FLIP])
def test_same_batches_as_the_loader(kitti_root: Path, tmp_path: Path, augment) -> None:
    data = KittiRoadDataModule(
        kitti_root, (16, 32), 2, augment=augment, workers=0, cache_dir=tmp_path / "cache", seed=3, split="none"
    )
    data.prepare()
    plain = data.train_dataloader()
    sampler = EpochSampler(len(data.records("train")), 3, 0, 1, True)
    entries, augmentation = data._entries["train"], data._augmentation
    resident = ResidentLoader(entries, augmentation, 3, 2, sampler, torch.device("cpu"))
    assert len(resident) == len(plain)
    mirrored = 0
    for epoch in range(2):
        for loader in (plain, resident):
            loader.sampler.set_epoch(epoch)
        for batch, expected in zip(resident, plain, strict=True):
            assert batch["name"] == expected["name"]
            assert torch.equal(batch["image"], expected["image"])
            assert torch.equal(batch["label"], expected["label"])
            assert batch["image"].stride() == expected["image"].stride()
            mirrored += sum(augmentation.mirrored((3, epoch, number)) for number in range(len(entries)))
    assert bool(mirrored) == bool(augment)


def test_samples_that_do_not_count_have_no_scored_pixel(kitti_root: Path, tmp_path: Path) -> None:
    data = KittiRoadDataModule(kitti_root, (16, 32), 2, workers=0, cache_dir=tmp_path / "cache", split="none")
    data.prepare()
    entries = data._entries["train"][:3]
    second = EpochSampler(3, 0, 1, 2, True)  # of two processes: one picture, and one that makes the round full
    batches = list(ResidentLoader(entries, data._augmentation, 0, 1, second, torch.device("cpu")))
    assert len(batches) == 2
    assert (batches[0]["label"] != 255).any()
    assert (batches[1]["label"] == 255).all()
