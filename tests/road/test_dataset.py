import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.config.compose import CONF
from segkit.errors import UserError
from segkit.road.dataset import KittiRoadDataModule
from segkit.road.layout import GENERATED
from tests.fixtures import BLACK, MAGENTA, RED, write_rgb


def module(root: Path, tmp_path: Path, **settings) -> KittiRoadDataModule:
    common = {"image_shape": [16, 48], "batch_size": 2, "split": "fraction", "workers": 0}
    return KittiRoadDataModule(root, **(common | {"cache_dir": tmp_path / "cache"} | settings))


def refused(root: Path, tmp_path: Path, **settings) -> str:
    with pytest.raises(UserError) as error:
        module(root, tmp_path, **settings).prepare()
    return str(error.value)


def test_pictures_and_labels_pair_by_category_and_id(kitti_root, tmp_path):
    data = module(kitti_root, tmp_path)
    data.prepare()
    labelled = data.records("train") + data.records("val")
    assert len(labelled) == 18
    for record in labelled:
        category, number = record.name.split("_")
        assert record.group == category
        assert record.image.name == f"{category}_{number}.png"
        assert record.label is not None
        assert record.label.name == f"{category}_road_{number}.png"
    assert data.summary() == {
        "train": {"um": 5, "umm": 5, "uu": 5}, "val": {"um": 1, "umm": 1, "uu": 1}, "test": {"um": 2, "umm": 2, "uu": 2}
    }  # fmt: skip
    assert data.describe().split("\n")[-1].split() == ["all", "15", "3", "6"]


def test_a_tree_without_testing_is_fine(kitti_root, tmp_path):
    shutil.rmtree(kitti_root / "testing")
    data = module(kitti_root, tmp_path)
    data.prepare()
    assert data.records("test") == []


def test_lane_is_the_task_of_um_alone(kitti_root, tmp_path):
    data = module(kitti_root, tmp_path, target="lane")
    data.prepare()
    assert data.summary() == {"train": {"um": 5}, "val": {"um": 1}, "test": {"um": 2}}
    assert [item.name for item in data.class_list] == ["background", "lane"]


@pytest.mark.parametrize(("unscored", "value"), [("ignore", 255), ("road", 1)])
def test_colours_become_classes(tmp_path, unscored, value):
    write_rgb(tmp_path / "label.png", np.array([[RED, MAGENTA, BLACK]], np.uint8))
    label = module(tmp_path, tmp_path, unscored=unscored).read_label(tmp_path / "label.png")
    assert label.dtype == np.uint8
    assert label.tolist() == [[0, 1, value]]


@pytest.mark.parametrize("colour", [(0, 0, 255), (255, 0, 128), (254, 0, 0), (0, 255, 0), (255, 255, 255), (1, 0, 1)])
def test_colours_that_no_label_has_are_refused(kitti_root, tmp_path, colour):
    path = kitti_root / "training/gt_image_2/um_road_000003.png"
    pixels = np.full((40, 120, 3), RED, np.uint8)
    pixels[5, 7:9] = colour
    write_rgb(path, pixels)
    message = refused(kitti_root, tmp_path)
    assert "labels with impossible values: 1" in message
    numbers = ", ".join(map(str, colour))
    assert f"um_road_000003.png has 2 pixels that are not red, magenta or black, such as RGB ({numbers})" in message


def test_one_report_holds_all_problems(kitti_root, tmp_path):
    images, labels = kitti_root / "training/image_2", kitti_root / "training/gt_image_2"
    (labels / "um_road_000001.png").unlink()
    (images / "uu_000002.png").unlink()
    whole = (images / "umm_000004.png").read_bytes()
    (images / "umm_000004.png").write_bytes(whole[: len(whole) // 2])
    (kitti_root / "testing/image_2/um_000001.png").write_bytes(b"")
    small = cv2.imread(str(labels / "uu_road_000003.png"))[:, :-1]
    cv2.imwrite(str(labels / "uu_road_000003.png"), small)
    shutil.copy(images / "um_000000.png", images / "um_000000 (copy).png")
    (images / "._um_000000.png").write_bytes(b"what macOS leaves in archives")
    message = refused(kitti_root, tmp_path)
    lines = message.splitlines()
    for heading, name in {
        "images without a label: 1": "training/image_2/um_000001.png has no training/gt_image_2/um_road_000001.png",
        "labels without an image: 1": "training/gt_image_2/uu_road_000002.png",
        "files that cannot be decoded: 2": "testing/image_2/um_000001.png is empty",
        "labels of another size than their image: 1": "uu_road_000003.png is 119×40, its image 120×40",
        "files with a name of another kind: 1": "training/image_2/um_000000 (copy).png",
    }.items():
        assert name in lines[lines.index(heading) + 1]
    assert "training/image_2/umm_000004.png is truncated" in message
    assert "found 17 images in training/image_2/ (um 6, umm 6, uu 5)" in message
    assert "._um" not in message


def test_the_report_names_five_files_of_a_kind_and_counts_the_rest(kitti_root, tmp_path):
    for path in (kitti_root / "training/gt_image_2").glob("*_road_*"):
        path.unlink()
    message = refused(kitti_root, tmp_path)
    assert "images without a label: 18" in message
    assert message.count(" has no ") == 5
    assert "and 13 more" in message


def test_no_images_at_all(kitti_root, tmp_path):
    for path in kitti_root.rglob("*.png"):
        path.unlink()
    message = refused(kitti_root, tmp_path)
    assert "found 0 images in training/image_2/ (none)" in message
    assert "folders without images: 1" in message


def test_records_are_refused_while_the_layout_has_problems(kitti_root, tmp_path):
    (kitti_root / "training/gt_image_2/um_road_000001.png").unlink()
    with pytest.raises(UserError, match="images without a label: 1"):
        module(kitti_root, tmp_path).records("train")


@pytest.mark.parametrize(("typed", "level"), [("..", "below"), ("training", "above"), ("training/image_2", "above")])
def test_a_root_on_another_level_names_the_right_one(kitti_root, tmp_path, typed, level):
    message = refused(kitti_root / typed, tmp_path)
    assert "has no training/image_2/ and training/gt_image_2/" in message
    assert message.endswith(f"The right level is {level}: data.root={kitti_root}")


def test_a_relative_root_is_answered_by_a_relative_one(kitti_root, tmp_path, monkeypatch):
    monkeypatch.chdir(kitti_root.parent)
    assert refused(Path("data_road/training"), tmp_path).endswith("data.root=data_road")


def test_a_root_that_is_nowhere_says_what_was_looked_for(tmp_path):
    message = refused(tmp_path / "nowhere", tmp_path)
    assert "does not exist; looked for training/image_2/ and training/gt_image_2/" in message
    assert "segkit data action=download data.root=" in message
    assert "action=generate" in message
    (tmp_path / "empty").mkdir()
    assert "Set data.root to the folder that holds them" in refused(tmp_path / "empty", tmp_path)


def test_the_real_fragment_misses_nine_road_labels(shared_data, tmp_path):
    message = refused(shared_data / "kitti_road", tmp_path, split="kittiseg")
    assert "images without a label: 9" in message
    assert "found 13 labels in training/gt_image_2/ (um lane 11, um road 2)" in message
    assert "data.split=fraction data.val_fraction=0.2" in message


def test_the_real_fragment_trains_on_lanes(shared_data, tmp_path):
    data = module(shared_data / "kitti_road", tmp_path, target="lane", image_shape=[40, 144])
    data.prepare()
    assert data.summary() == {"train": {"um": 9}, "val": {"um": 2}, "test": {}}
    # Counted beforehand: um_lane_000000.png has 30 843 magenta, 429 437 red and 5 470 black pixels.
    label = data.read_label(shared_data / "kitti_road/training/gt_image_2/um_lane_000000.png")
    assert np.bincount(label.ravel(), minlength=256)[[0, 1, 255]].tolist() == [429437, 30843, 5470]
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (2, 3, 40, 144)
    assert [tuple(x.shape) for x in next(iter(data.val_dataloader()))["label"]] == [(375, 1242)] * 2


@pytest.mark.parametrize("experiment", ["scenes", "sim2real"])
def test_an_experiment_on_scenes_is_told_how_they_are_drawn(experiment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = refused(Path("data") / experiment, tmp_path)
    command = f"segkit data action=generate data.root=data/{experiment} {GENERATED[experiment]}"
    assert "does not exist; looked for training/image_2/ and training/gt_image_2/. Set data.root to " in said
    assert said.endswith(f"; {command} draws the scenes.")
    head = (CONF / "experiment" / f"{experiment}.yaml").read_text().partition("defaults:")[0]
    assert command in head
    assert f"root: data/{experiment}\n" in (CONF / "experiment" / f"{experiment}.yaml").read_text()
