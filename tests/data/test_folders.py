"""A data set of one's own in plain folders."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.data.folders import paired_folders
from segkit.data.images import decode_values
from segkit.data.module import SegmentationDataModule
from segkit.data.records import SegmentationClass
from segkit.errors import UserError
from tests.fixtures import write_rgb


class Signs(SegmentationDataModule):
    """What a user writes for pictures and masks in folders."""

    class_list = (SegmentationClass("ground", None), SegmentationClass("sign", (255, 0, 0)))

    def scan(self):
        parts = ("train", "val", "test")
        return paired_folders(self.root, {part: (f"{part}/images", f"{part}/masks") for part in parts})

    def decode_label(self, data, path):
        return decode_values(data, path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part, count in (("train", 3), ("val", 2)):
        for i in range(count):
            write_rgb(tmp_path / f"{part}/images/{part}_{i}.jpg", np.full((20, 30, 3), 40 * i, np.uint8))
            write_rgb(tmp_path / f"{part}/masks/{part}_{i}.png", np.full((20, 30), i % 2, np.uint8))
    return tmp_path


def module(root: Path) -> Signs:
    return Signs(root, [16, 24], 2, workers=0, cache_dir=root / "cache")


def test_a_data_set_of_ones_own(root: Path) -> None:
    data = module(root)
    data.setup()
    assert data.summary() == {"train": {"all": 3}, "val": {"all": 2}, "test": {}}
    assert data.pixel_counts().tolist() == [2 * 16 * 24, 16 * 24]
    batch = next(iter(data.val_dataloader()))
    assert batch["context"] == [{}, {}]
    assert [int(label.max()) for label in batch["label"]] == [0, 1]


def test_what_is_missing_is_named(root: Path) -> None:
    (root / "train/masks/train_0.png").unlink()
    write_rgb(root / "val/masks/more.png", np.zeros((20, 30), np.uint8))
    (root / "val/images/train_1.png").symlink_to(root / "train/images/train_1.jpg")
    with pytest.raises(UserError) as error:
        module(root).prepare()
    assert "train/images/train_0.jpg has no train/masks/train_0.png" in str(error.value)
    assert "val/masks/more.png has no val/images/more.*" in str(error.value)
    assert "train/images/train_1.png is also in val/images/" in str(error.value)
    with pytest.raises(UserError, match=r"has no train/images/ and train/masks/ and val/images/ and val/masks/"):
        module(root / "train").prepare()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_labels_are_their_indices(tmp_path: Path, bits: int) -> None:
    values = (np.arange(2 * 3, dtype=np.uint8) % min(2**bits, 6)).reshape(2, 3)
    mask = Image.fromarray(values, "P")
    mask.putpalette([200, 10, 10, 5, 5, 5, 200, 200, 200, 0, 0, 255, 9, 9, 9, 1, 2, 3])
    mask.save(tmp_path / "label.png", bits=bits)
    content = (tmp_path / "label.png").read_bytes()
    assert content[25] == 3
    assert cv2.imread(str(tmp_path / "label.png"), cv2.IMREAD_UNCHANGED).ndim == 3
    np.testing.assert_array_equal(decode_values(content, tmp_path / "label.png"), values)
    with pytest.raises(UserError, match=r"label\.png is (truncated|damaged)"):
        decode_values(content[:-20], tmp_path / "label.png")
