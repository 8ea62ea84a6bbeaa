from pathlib import Path

import numpy as np
import pytest

from segkit.data.datasets.camvid import CamVidDataModule
from segkit.data.overlay import Painter
from segkit.data.writer import Prediction
from segkit.errors import UserError
from segkit.predict.writers import Mask
from tests.fixtures import write_rgb


def module(root: Path, tmp_path: Path, **settings) -> CamVidDataModule:
    return CamVidDataModule(root, [15, 20], 2, workers=0, cache_dir=tmp_path / "cache", **settings)


def test_parts_are_the_folders_and_groups_the_drives(camvid_root, tmp_path):
    data = module(camvid_root, tmp_path)
    data.prepare()
    assert data.summary() == {"train": {"0001TP": 6}, "val": {"0016E5": 3}, "test": {}}
    assert (data.num_classes, data.class_list[3].name) == (11, "road")


@pytest.mark.parametrize(
    ("classes", "expected"), [("all", [*range(11), 255]), ("road", [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 255])]
)
def test_class_numbers_become_classes(tmp_path, classes, expected):
    write_rgb(tmp_path / "label.png", np.arange(12, dtype=np.uint8)[None])
    data = module(tmp_path, tmp_path, classes=classes)
    assert data.read_label(tmp_path / "label.png")[0].tolist() == expected
    assert data.num_classes == (11 if classes == "all" else 2)


def test_all_problems_are_reported(camvid_root, tmp_path):
    (camvid_root / "trainannot/0001TP_00001.png").unlink()
    (camvid_root / "val/0016E5_00002.png").unlink()
    write_rgb(camvid_root / "trainannot/0001TP_00000.png", np.full((30, 40), 12, np.uint8))
    write_rgb(camvid_root / "trainannot/0001TP_00002.png", np.zeros((30, 40, 3), np.uint8))
    for folder in ("train", "trainannot"):
        (camvid_root / folder / "0016E5_00000.png").write_bytes(
            (camvid_root / folder.replace("train", "val") / "0016E5_00000.png").read_bytes()
        )
    with pytest.raises(UserError) as error:
        module(camvid_root, tmp_path).prepare()
    message = str(error.value)
    assert "train/0001TP_00001.png has no trainannot/0001TP_00001.png" in message
    assert "valannot/0016E5_00002.png has no val/0016E5_00002.*" in message
    assert "trainannot/0001TP_00000.png has the class number 12" in message
    assert "trainannot/0001TP_00002.png is not an 8-bit grey picture" in message
    assert "train/0016E5_00000.png is also in val/" in message


def test_an_unlabelled_test_folder_is_the_test_part(camvid_root, tmp_path):
    write_rgb(camvid_root / "test/0001TP_01000.png", np.zeros((30, 40, 3), np.uint8))
    data = module(camvid_root, tmp_path)
    data.setup()
    batch = next(iter(data.test_dataloader()))
    assert batch["name"] == ["0001TP_01000"]
    assert (batch["label"][0].shape, set(batch["label"][0].ravel().tolist())) == ((30, 40), {255})


def test_a_wrong_root_is_named(camvid_root, tmp_path):
    with pytest.raises(UserError, match=f"data.root={camvid_root}$"):
        module(camvid_root / "train", tmp_path).prepare()


def test_the_real_validation_pictures_have_road_in_front(shared_data, tmp_path):
    data = module(shared_data / "camvid", tmp_path, classes="road")
    assert [sum(counts.values()) for counts in data.summary().values()] == [367, 101, 0]
    labels = [data.read_label(record.label) for record in data.records("val")[::10]]
    assert np.mean([label[-60:, 200:280] == 1 for label in labels]) > 0.9
    assert np.mean([label[:60] == 1 for label in labels]) < 0.001


def test_masks_that_segkit_has_painted_are_labels(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.uint8)[None]
    none = np.zeros_like(values)
    data = module(tmp_path, tmp_path)
    prediction = Prediction(tmp_path / "a.png", none, values, none, {}, Painter(data.class_list))
    (tmp_path / "label.png").write_bytes(Mask().encode(prediction))
    assert data.read_label(tmp_path / "label.png")[0].tolist() == [*range(11), 255]


def test_whole_drives_are_held_out_by_name(camvid_root, tmp_path):
    data = module(camvid_root, tmp_path, split="drive", held_out=["0001TP"])
    assert data.summary() == {"train": {"0016E5": 3}, "val": {"0001TP": 6}, "test": {}}


def test_drives_to_hold_out_go_with_their_split(camvid_root, tmp_path):
    assert module(camvid_root, tmp_path, split="drive").held_out == ("0001TP",)
    with pytest.raises(UserError, match=r"data\.held_out=\[0001TP\]: .*; give data\.split=drive too"):
        module(camvid_root, tmp_path, held_out=["0001TP"])


@pytest.mark.parametrize(
    ("held_out", "problem"),
    [
        (
            ["0001TP", "0016e5"],
            "data.held_out=0016e5: there is no such drive; did you mean 0016E5[?] There are 0001TP, 0016E5",
        ),
        (["0001TP", "0016E5"], "data.held_out leaves no drive to train on"),
    ],
)
def test_drives_that_cannot_be_held_out_are_reported(camvid_root, tmp_path, held_out, problem):
    with pytest.raises(UserError, match=problem):
        module(camvid_root, tmp_path, split="drive", held_out=held_out).prepare()


def test_training_on_both_parts_leaves_no_validation(camvid_root, tmp_path):
    data = module(camvid_root, tmp_path, train_on=["train", "val"])
    data.prepare()
    assert data.summary() == {"train": {"0001TP": 6, "0016E5": 3}, "val": {}, "test": {}}
    assert sorted(name for batch in data.train_dataloader() for name in batch["name"]) == [
        record.name for record in data.records("train")
    ]
    both = data.pixel_counts()
    assert both.sum() > module(camvid_root, tmp_path).pixel_counts().sum()
