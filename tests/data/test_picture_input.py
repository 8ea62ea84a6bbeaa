"""Pictures of other sizes than the network is trained on: crops in training, windows in evaluation."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segkit.data.augment import Augmentation
from segkit.data.picture_input import PictureInput
from segkit.models.full_size import full_size_logits
from segkit.road.dataset import KittiRoadDataModule


def module(root: Path, resize: object, **settings: object) -> KittiRoadDataModule:
    more = {"split": "fraction", "workers": 0, "cache_dir": root.parent / "cache", "resize": resize} | settings
    return KittiRoadDataModule(root, [16, 48], 4, **more)


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        ("image_shape", (16, 48)),
        ([20, 60], (20, 60)),
        (None, (41, 119)),
        (0.5, (20, 60)),
        (1, (41, 119)),
        (60, (21, 60)),
    ],
)
def test_what_a_picture_is_resized_to(resize: object, expected: tuple[int, int]) -> None:
    size = PictureInput.of([16, 48], resize)  # type: ignore[arg-type]
    assert size.shape_of((41, 119)) == expected
    assert size.crops == (resize != "image_shape")
    assert PictureInput.of(**size.as_dict()) == size


def test_the_longer_side_is_that_of_the_picture_whichever_way_it_is_held() -> None:
    size = PictureInput.of([64, 64], 100)
    assert size.shape_of((300, 400)) == (75, 100)
    assert size.shape_of((400, 300)) == (100, 75)
    assert size.shape_of((30, 50)) == (60, 100)
    assert size.shape_of((5000, 8)) == (100, 1)
    assert str(size) == "100 at the longer side through 64×64"


@pytest.mark.parametrize("augment", [None, Augmentation(flip=0.5)])
def test_training_on_crops_of_native_pictures(kitti_root: Path, augment: Augmentation | None) -> None:
    data = module(kitti_root, None, augment=augment)
    data.setup()
    loader = data.train_dataloader()
    epochs = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)  # type: ignore[union-attr]
        epochs.append({name: b["image"][i] for b in loader for i, name in enumerate(b["name"])})
    records = {record.name: record for record in data.records("train")}
    moved = 0
    for name, crop in epochs[0].items():
        own = cv2.imread(str(records[name].image))[..., ::-1]
        sides = [own, own[:, ::-1]] if augment else [own]
        found = [cv2.matchTemplate(np.ascontiguousarray(side), crop.permute(1, 2, 0).numpy(), cv2.TM_SQDIFF).min()
                 for side in sides]  # fmt: skip
        assert min(found) < 100, name  # it computes in float32
        moved += not torch.equal(crop, epochs[1][name])
    assert moved > len(records) // 2


def test_evaluation_batches_of_pictures_of_different_sizes(kitti_root: Path) -> None:
    data = module(kitti_root, 0.5, val_fraction=0.5)
    data.setup()
    batch, records = next(iter(data.val_dataloader())), data.records("val")[:4]
    sizes = [cv2.imread(str(record.image)).shape[:2] for record in records]
    assert len(set(sizes)) > 1
    assert [tuple(image.shape) for image in batch["image"]] == [(3, round(h / 2), round(w / 2)) for h, w in sizes]
    for record, label in zip(records, batch["label"], strict=True):
        np.testing.assert_array_equal(label.numpy(), data.read_label(record.label))


def test_cached_pictures_are_found_by_what_they_were_resized_to(kitti_root: Path) -> None:
    def shapes(resize: object) -> set[tuple[int, ...]]:
        data = module(kitti_root, resize)
        data.prepare()
        return {np.load(entry.pixels).shape for entry in data._entries["train"]}

    for _ in range(2):
        assert shapes(None) == {(40, 120, 4), (41, 119, 4), (38, 118, 4)}
        assert shapes([16, 48]) == {(16, 48, 4)}
        assert shapes(0.5) == {(20, 60, 4), (20, 60, 4), (19, 59, 4)}


@pytest.mark.parametrize("window", ["sliding", "whole"])
def test_how_pictures_are_shown_to_a_network(window: str) -> None:
    seen: list[tuple[int, ...]] = []

    def network(images: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(images.shape[2:]))
        return images.float()

    size = PictureInput.of([16, 48], None, window)  # type: ignore[arg-type]
    images = [torch.randint(0, 256, (3, *shape), dtype=torch.uint8) for shape in ((16, 48), (40, 100))]
    sizes = [(16, 48), (40, 100)]
    for image, logits in zip(images, full_size_logits(network, images, sizes, size), strict=True):
        assert torch.allclose(logits, image.float(), atol=1e-3)
    assert set(seen) == ({(16, 48)} if window == "sliding" else {(16, 48), (40, 100)})
    seen.clear()
    together = full_size_logits(network, torch.stack([images[0]] * 3), [(16, 48), (8, 24), (20, 20)], size)
    assert [tuple(one.shape[1:]) for one in together] == [(16, 48), (8, 24), (20, 20)]
    assert seen == [(16, 48)]


def test_training_pixels_are_counted_once(kitti_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = module(kitti_root, None)
    expected = np.zeros(256, int)
    for record in data.records("train"):
        assert record.label is not None
        expected += np.bincount(data.read_label(record.label).ravel(), minlength=256)
    counts = data.pixel_counts()
    assert (counts.dtype, counts.tolist()) == (torch.int64, expected[:2].tolist())
    monkeypatch.setattr(np, "bincount", None)
    assert torch.equal(module(kitti_root, None).pixel_counts(), counts)
