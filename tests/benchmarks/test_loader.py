import mmap
from pathlib import Path

import numpy as np
import pytest

from segkit.benchmarks import loader
from tests.fixtures import MAGENTA, RED, write_kitti, write_rgb


def test_the_papers_labels_are_one_hot_red_and_all_that_is_not(tmp_path: Path) -> None:
    label = np.empty((8, 12, 3), np.uint8)
    label[:, :4], label[:, 4:8], label[:, 8:] = RED, MAGENTA, 0
    write_rgb(tmp_path / "label.png", label)
    write_rgb(tmp_path / "image.png", np.full((8, 12, 3), (1, 2, 3), np.uint8))
    image, classes = loader.paper_sample((str(tmp_path / "image.png"), str(tmp_path / "label.png")), (8, 12))
    assert set(map(tuple, image.reshape(-1, 3))) == {(3, 2, 1)}  # in OpenCV's order of channels
    np.testing.assert_array_equal(classes[..., 0], [[True] * 4 + [False] * 8] * 8)
    np.testing.assert_array_equal(classes[..., 1], ~classes[..., 0])


def test_every_augmentation_has_a_row_and_ratios_are_theirs_over_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_kitti(tmp_path / "data_road", count=2, tests=0)
    monkeypatch.setattr(loader, "SHAPE", (16, 32))
    monkeypatch.setattr(loader, "TURNS", 3)
    monkeypatch.setattr(loader, "AUGMENTATIONS", ("none", "flip"))
    ours, theirs = iter([1.0, 2.0, 4.0, 1.0, 1.0, 1.0]), iter([40.0, 60.0, 100.0])
    asked = []

    def seconds(work, clock):
        asked.append(work())
        return next(theirs) if asked[-1] is None else next(ours)

    monkeypatch.setattr(loader, "_seconds", seconds)
    rows = loader.later_epochs(root, tmp_path / "scratch")
    # Ours take turns: 1 and 2 s against 40 s, 4 and 1 s against 60 s, 1 and 1 s against 100 s.
    assert [row["what"] for row in rows] == ["later epochs, augment=none", "later epochs, augment=flip"]
    assert [row["ratio"] for row in rows] == [40, 60]
    assert [row["images_per_second"] for row in rows] == [6, 6]
    assert {row["their_images_per_second"] for row in rows} == {0.1}


def test_augmentations_are_those_of_the_shipped_files() -> None:
    assert loader.shipped("none").does_nothing
    assert loader.shipped("flip").flip == 0.5
    assert len(loader.shipped("albumentations").compose.transforms) > 1


def test_memory_is_what_linux_counts() -> None:
    before = loader.memory("self")
    # Straight from the system: memory that this process has freed before would be its own already.
    with mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        for _ in range(32):
            block.write(bytes([1]) * (1 << 20))
        after = loader.memory("self")
    assert 30 < after["Private_Dirty"] - before["Private_Dirty"] < 40
