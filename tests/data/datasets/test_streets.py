"""Cityscapes, KITTI's semantic pictures and BDD100K: other files, the same classes."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from torchvision.datasets import Cityscapes

from segkit.data.datasets.bdd100k import Bdd100kDataModule
from segkit.data.datasets.cityscapes import CATEGORIES, LABELS, LAST_ID, CityscapesDataModule, StreetDataModule
from segkit.data.datasets.kitti_semantic import KittiSemanticDataModule
from segkit.errors import UserError
from tests.fixtures import write_bdd100k, write_cityscapes, write_kitti_semantic, write_rgb

SETS: dict[str, tuple[type[StreetDataModule], Callable[[Path], Path]]] = {
    "cityscapes": (CityscapesDataModule, write_cityscapes),
    "kitti_semantic": (KittiSemanticDataModule, write_kitti_semantic),
    "bdd100k": (Bdd100kDataModule, write_bdd100k),
}


def module(name: str, tmp_path: Path, **settings) -> StreetDataModule:
    kind, write = SETS[name]
    settings = {"image_shape": [16, 32], "resize": None} | settings
    return kind(write(tmp_path / name), batch_size=2, workers=0, cache_dir=tmp_path / "cache", **settings)


def test_the_table_is_torchvisions() -> None:
    theirs = sorted((item.train_id, item) for item in Cityscapes.classes if 0 <= item.train_id < 255)
    assert [(item.name, item.id, item.category, item.color) for _, item in theirs] == list(LABELS)
    assert max(item.id for item in Cityscapes.classes) == LAST_ID
    assert list(CATEGORIES) == ["flat", "construction", "object", "nature", "sky", "human", "vehicle"]


@pytest.mark.parametrize(
    ("name", "summary"),
    [
        ("cityscapes", {"train": {"aachen": 2, "ulm": 2}, "val": {"lindau": 2}, "test": {"berlin": 1}}),
        ("kitti_semantic", {"train": {"all": 8}, "val": {"all": 2}, "test": {"all": 2}}),
        ("bdd100k", {"train": {"all": 4}, "val": {"all": 2}, "test": {"all": 1}}),
    ],
)
def test_a_tree_is_read_whole_and_in_crops(tmp_path: Path, name: str, summary: dict) -> None:
    data = module(name, tmp_path)
    data.setup()
    assert data.summary() == summary
    batch = next(iter(data.train_dataloader()))
    assert tuple(batch["image"].shape) == (2, 3, 16, 32)
    assert set(batch["label"].unique().tolist()) <= {*range(19), 255}
    label = next(iter(data.val_dataloader()))["label"][0]
    assert label.shape in [(32, 64), (36, 64), (40, 120), (41, 119), (38, 118)]
    assert set(range(19)) >= set(label.unique().tolist()) - {255} >= {0, 1, 10}
    assert all(record.label is None for record in data.records("test"))
    counts = data.pixel_counts()
    assert (len(counts), int((counts > 0).sum())) == (19, 19)


@pytest.mark.parametrize("name", SETS)
def test_categories_and_merges_are_classes(tmp_path: Path, name: str) -> None:
    whole, categories = module(name, tmp_path), module(name, tmp_path, classes="category")
    label = whole.records("val")[0].label
    assert label is not None
    assert [item.name for item in categories.class_list] == list(CATEGORIES)
    fine, coarse = whole.read_label(label), categories.read_label(label)
    place = {member: i for i, members in enumerate(CATEGORIES.values()) for member in members}
    for number, (own, *_) in enumerate(LABELS):
        assert set(coarse[fine == number].tolist()) <= {place[own]}
    assert ((fine == 255) == (coarse == 255)).all()


def test_labels_of_other_numbers_are_reported(tmp_path: Path) -> None:
    data = module("cityscapes", tmp_path)
    labels = sorted(data.root.glob("gtFine/train/*/*_labelIds.png"))
    write_rgb(labels[0], np.full((32, 64), 34, np.uint8))
    write_rgb(labels[1], np.zeros((32, 64, 3), np.uint8))
    labels[2].unlink()
    min(data.root.glob("leftImg8bit/val/*/*")).rename(data.root / "leftImg8bit/val/lindau/other.png")
    with pytest.raises(UserError) as error:
        data.prepare()
    for line in (
        "aachen_000000_000019_gtFine_labelIds.png has the label id 34; 33 is the largest",
        "aachen_000001_000019_gtFine_labelIds.png is not an 8-bit grey picture of label ids",
        "ulm_000000_000019_leftImg8bit.png has no gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png",
        "lindau_000000_000019_gtFine_labelIds.png has no picture in leftImg8bit/val/",
        "leftImg8bit/val/lindau/other.png",
    ):
        assert line in str(error.value)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("cityscapes", "leftImg8bit/ and gtFine/.*gtFine_trainvaltest.zip"),
        ("kitti_semantic", "segkit data action=download data=kitti_semantic"),
        ("bdd100k", "bdd100k_sem_seg_labels_trainval.zip"),
    ],
)
def test_a_root_that_is_not_there_says_how_to_come_by_it(tmp_path: Path, name: str, line: str) -> None:
    data = SETS[name][0](tmp_path / "nowhere", [16, 32], 2, cache_dir=tmp_path / "cache")
    with pytest.raises(UserError, match=line):
        data.prepare()


def test_counts_are_held_against_the_published_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="training has 10 pictures instead of 200"):
        module("kitti_semantic", tmp_path).check_published()


def test_a_real_pictures_labels_are_its_own_train_ids(shared_data: Path, tmp_path: Path) -> None:
    data = CityscapesDataModule(shared_data / "cityscapes", [512, 1024], 1, cache_dir=tmp_path / "cache")
    record = data.records("val")[0]
    assert record.label is not None
    read = data.read_label(record.label)
    own = str(record.label)
    published = cv2.imread(own.replace("labelIds", "labelTrainIds"), cv2.IMREAD_UNCHANGED)
    assert len(np.unique(published)) > 8
    # The sample's files were reduced one by one, and differ where classes meet: one label id stands for several train
    # ids there. Its instance numbers, which begin with the label id, were reduced with the label ids.
    ids = cv2.imread(own, cv2.IMREAD_UNCHANGED)
    instances = cv2.imread(own.replace("labelIds", "instanceIds"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(np.where(instances < 1000, instances, instances // 1000), ids)
    edges = cv2.morphologyEx(ids, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
    np.testing.assert_array_equal(read[~edges], published[~edges])
    assert np.mean(read == published) > 0.997
