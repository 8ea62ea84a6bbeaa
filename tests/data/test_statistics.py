import json

import numpy as np
import pytest

from segkit.data.datasets.folder import FolderDataModule
from segkit.data.statistics import statistics, statistics_table
from segkit.errors import UserError
from segkit.road.dataset import KittiRoadDataModule
from tests.fixtures import BLACK, MAGENTA, RED, write_folder, write_kitti, write_rgb


def test_counts_and_shares(kitti_root, tmp_path):
    label = np.full((40, 120, 3), RED, np.uint8)
    label[:, :30] = BLACK
    label[:20, 30:] = MAGENTA
    for path in (kitti_root / "training/gt_image_2").glob("um_road_*"):
        write_rgb(path, label)
        write_rgb(kitti_root / "training/image_2" / path.name.replace("_road", ""), label)
    numbers = statistics(KittiRoadDataModule(kitti_root, [16, 48], 2, split="fraction"))
    assert numbers["pictures"] == {"training": 18, "test": 6, "total": 24}
    assert numbers["labels"] == {"lane": 6, "road": 18, "total": 24}
    um = numbers["groups"]["um"]
    assert [um[part] for part in ("train", "val", "test")] == [5, 1, 2]
    assert um["classes"]["road"] == pytest.approx(0.5)
    assert um["unscored"] == pytest.approx(0.25)
    assert numbers["sizes"][0] == {"height": 40, "width": 120, "count": 13}
    assert sum(size["count"] for size in numbers["sizes"]) == 24
    json.dumps(numbers)
    table = statistics_table(numbers)
    columns = [line.split() for line in table.splitlines()]
    assert "Number of training pictures: 18" in table
    assert "Number of label files:       24 (6 lane, 18 road)" in table
    assert ["train", "val", "test", "road", "unscored"] in columns
    assert ["um", "5", "1", "2", "50.0", "%", "25.0", "%"] in columns
    assert "13 pictures of 120×40" in table


def test_classes_are_counted_in_pixels_and_pictures(tmp_path):
    root = write_folder(tmp_path / "mine", count=4)
    label = np.zeros((30, 40), np.uint8)
    label[:, :10] = 2
    write_rgb(root / "masks/p00.png", label)
    numbers = statistics(FolderDataModule(root, [15, 20], 2))
    assert numbers["held"] == {"ground": 4, "road": 3, "sky": 4}
    assert numbers["pixels"]["sky"] == 300 + 3 * 390
    assert sum(numbers["pixels"].values()) == 1200 + 3 * 1170
    rows = [line.split() for line in statistics_table(numbers).splitlines()]
    assert ["sky", "31.2", "%", "1470", "4"] in rows
    assert ["all", "3", "1", "0", "1.9", "%"] in rows
    assert "grey_threshold_iou" not in numbers


def test_a_label_of_another_size_is_named(kitti_root):
    write_rgb(kitti_root / "training/gt_image_2/um_road_000000.png", np.full((10, 20, 3), RED, np.uint8))
    with pytest.raises(UserError, match=r"um_road_000000\.png is not as large as .*um_000000\.png"):
        statistics(KittiRoadDataModule(kitti_root, [16, 48], 2, split="fraction"))


def test_a_set_of_the_papers_size_gives_the_papers_numbers(tmp_path):
    """Layout only: the counts come from names."""
    write_kitti(tmp_path, count=1, tests=1)
    for category, training, testing in [("um", 95, 96), ("umm", 96, 94), ("uu", 98, 100)]:
        for folder, count, infix in (
            ("training/image_2", training, ""),
            ("training/gt_image_2", training, "road_"),
            ("testing/image_2", testing, ""),
            ("training/gt_image_2", training if category == "um" else 0, "lane_"),
        ):
            first = tmp_path / folder / f"{category}_{infix}000000.png"
            for i in range(1, count):
                (tmp_path / folder / f"{category}_{infix}{i:06d}.png").hardlink_to(first)
    numbers = statistics(KittiRoadDataModule(tmp_path, [16, 48], 2))
    assert numbers["pictures"] == {"training": 289, "test": 290, "total": 579}
    assert numbers["labels"] == {"lane": 95, "road": 289, "total": 384}
    assert {group: row["val"] for group, row in numbers["groups"].items()} == {"um": 16, "umm": 16, "uu": 16}


def test_a_set_without_labels_has_no_shares(kitti_root):
    for path in (kitti_root / "training/gt_image_2").glob("*"):
        path.unlink()
    numbers = statistics(KittiRoadDataModule(kitti_root, [16, 48], 2, split="fraction"))
    assert (numbers["classes"]["road"], numbers["unscored"]) == (None, None)
    assert "–" in statistics_table(numbers)
