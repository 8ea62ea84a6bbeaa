"""The set on the device as a whole gives the very batches that the loader with worker processes gives."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from segkit.data.augment import Augmentation, Key
from segkit.data.cache import Entry
from segkit.data.gpu_loader import ResidentLoader, fits
from segkit.data.sampler import EpochSampler
from segkit.errors import UserError
from segkit.road.dataset import KittiRoadDataModule

LIGHT = {"brightness": 0.3, "contrast": 0.3, "gamma": 0.3, "saturation": 0.4, "cast": 0.1}
ALL = LIGHT | {"scale": 2.0, "flip": 0.5, "rotation": 5.0, "noise": 0.02, "blur": 1.0, "shadow": 0.5, "classmix": 0.5}
ALL |= {"paste": 0.5, "paste_classes": ["road"]}


@pytest.mark.parametrize("resize", [[17, 33], [30, 50], [12, 60]])
@pytest.mark.parametrize("augment", [{}, {"flip": 0.5}, LIGHT, {"flip": 0.5, "classmix": 0.7}, ALL])
def test_same_batches_as_the_loader(kitti_root: Path, tmp_path: Path, augment: dict, resize: list[int]) -> None:
    common = {"workers": 0, "cache_dir": tmp_path / "cache", "seed": 3, "split": "none", "resize": resize}
    data = KittiRoadDataModule(kitti_root, (17, 33), 4, augment=Augmentation(**augment), **common)
    data.prepare()
    plain = data.train_dataloader()
    sampler = EpochSampler(len(data.records("train")), 3, 0, 1, True)
    resident = ResidentLoader(data._entries["train"], data.augment, 3, (17, 33), 4, sampler, torch.device("cpu"))
    assert len(resident) == len(plain)
    seen: list[dict] = [{}, {}]
    for epoch in range(2):
        for loader in (plain, resident):
            loader.sampler.set_epoch(epoch)
        for batch, expected in zip(resident, plain, strict=True):
            assert batch["name"] == expected["name"]
            assert torch.equal(batch["image"], expected["image"])
            assert torch.equal(batch["label"], expected["label"])
            assert batch["image"].stride() == expected["image"].stride()
            assert batch["label"].stride() == expected["label"].stride()
            seen[epoch] |= dict(zip(batch["name"], batch["image"], strict=True))
    changed = [name for name, image in seen[0].items() if not torch.equal(image, seen[1][name])]
    assert bool(changed) == (bool(augment) or resize != [17, 33])


class Halves(Augmentation):
    """Forgets to turn its pictures into bytes again."""

    def batch(self, pictures: torch.Tensor, keys: Sequence[Key]) -> tuple[torch.Tensor, torch.Tensor]:
        image, label = super().batch(pictures, keys)
        return image / 2, label


def test_batches_of_another_kind_are_refused(kitti_root: Path, tmp_path: Path) -> None:
    data = KittiRoadDataModule(kitti_root, (16, 32), 2, augment=Halves(), cache_dir=tmp_path / "cache", split="none")
    data.prepare()
    entries, sampler = data._entries["train"], EpochSampler(2, 0, 0, 1, True)
    loader = ResidentLoader(entries, data.augment, 0, (16, 32), 2, sampler, torch.device("cpu"))
    with pytest.raises(UserError, match=r"Halves has to return image uint8 \(2, 3, 16, 32\) .* returns float32"):
        next(iter(loader))


def test_samples_that_do_not_count_have_no_scored_pixel(kitti_root: Path, tmp_path: Path) -> None:
    data = KittiRoadDataModule(kitti_root, (16, 32), 2, workers=0, cache_dir=tmp_path / "cache", split="none")
    data.prepare()
    entries = data._entries["train"][:3]
    data.augment.count = 3
    second = EpochSampler(3, 0, 1, 2, True)  # of two processes: one picture, and one that makes the round full
    batches = list(ResidentLoader(entries, data.augment, 0, (16, 32), 1, second, torch.device("cpu")))
    assert len(batches) == 2
    assert (batches[0]["label"] != 255).any()
    assert (batches[1]["label"] == 255).all()


def test_small_batches_are_made_together(kitti_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is on its device already is not looked at again on its way to the network."""
    asked: list[int] = []
    plain = Augmentation.batch

    def batch(self: Augmentation, pictures: torch.Tensor, keys: Sequence[Key]) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(len(keys))
        return plain(self, pictures, keys)

    data = KittiRoadDataModule(kitti_root, (16, 32), 2, workers=0, cache_dir=tmp_path / "cache", split="none")
    data.prepare()
    entries = [data._entries["train"][number % 2] for number in range(11)]
    monkeypatch.setattr(Augmentation, "batch", batch)
    device = torch.device("cpu")
    loader = ResidentLoader(entries, data.augment, 0, (16, 32), 2, EpochSampler(11, 0, 0, 1, True), device)
    for limits in ({"MADE_TOGETHER": 7}, {"PIXELS": 7 * 16 * 32}):
        with monkeypatch.context() as limited:
            for name, value in limits.items():
                limited.setattr(f"segkit.data.gpu_loader.{name}", value)
            batches = list(loader)
    assert asked == [6, 5, 6, 5]
    assert [len(batch["image"]) for batch in batches] == [2, 2, 2, 2, 2, 1]
    assert data.transfer_batch_to_device(batches[0], device, 0) is batches[0]


def test_a_set_of_one_size_fits_into_a_quarter_of_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def entries(*shapes: tuple[int, int]) -> list[Entry]:
        paths = [tmp_path / f"{number}.npy" for number in range(len(shapes))]
        for path, shape in zip(paths, shapes, strict=True):
            np.save(path, np.zeros((*shape, 4), np.uint8))
        return [Entry(None, path, None) for path in paths]  # type: ignore[arg-type]

    device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4 * 2 * 5 * 7 * 4, 10**9))
    assert fits(entries((5, 7), (5, 7)), device)
    assert not fits(entries((5, 7), (5, 7), (5, 7)), device)
    assert not fits(entries((5, 7), (5, 6)), device)
