from pathlib import Path

import pytest
import torch

from segkit.benchmarks import resident
from segkit.data.augment import AlbumentationsList, Augmentation
from segkit.road.dataset import KittiRoadDataModule


def test_each_augmentation_that_makes_batches_has_a_row(
    kitti_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "STEPS", 7)
    kinds = {"flip": Augmentation(flip=0.5), "listed": AlbumentationsList([]), "deep": Augmentation(shadow=0.5)}
    modules = {
        name: KittiRoadDataModule(kitti_root, [16, 48], 4, augment=kind, split="none", cache_dir=tmp_path / "cache")
        for name, kind in kinds.items()
    }
    for data in modules.values():
        data.prepare()
    table = resident.resident_table(modules, torch.device("cpu"))
    assert [row["what"] for row in table.rows] == ["augment=flip", "augment=deep"]
    for row in table.rows:
        assert (row["height"], row["width"], row["batch"]) == (16, 48, 4)
        assert row["images_per_second"] == pytest.approx(4000 / row["batch_ms"])
