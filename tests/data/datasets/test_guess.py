"""A first look at a folder of one's own: the file that it writes is read back, and gives the masks' own classes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from segkit.data.datasets.camvid import CLASSES
from segkit.data.datasets.folder import FolderDataModule
from segkit.data.datasets.own.guess import classes_text, image_shape, look_at, write_classes
from segkit.errors import UserError
from tests.fixtures import write_folder, write_rgb


def described(root: Path) -> FolderDataModule:
    (root / "classes.yaml").unlink(missing_ok=True)
    write_classes(root, look_at(root))
    return FolderDataModule(root, [15, 20], 2, workers=0, cache_dir=root.parent / "cache")


@pytest.mark.parametrize("colours", [False, True])
def test_what_is_written_is_read(tmp_path: Path, colours: bool) -> None:
    data = described(write_folder(tmp_path / "mine", colours=colours))
    data.prepare()
    label = data.read_label(tmp_path / "mine/masks/p00.png")
    # Black is no colour of a familiar data set here, so it may be a class.
    assert len(np.unique(label)) == 4
    assert ((label == 255).any(), data.num_classes) == ((False, 4) if colours else (True, 3))


def test_two_values_are_background_and_object(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    for path in (root / "masks").iterdir():
        write_rgb(path, np.where(np.arange(40) > 20, 255, 0).astype(np.uint8)[None].repeat(30, 0))
    data = described(root)
    assert [(item.name, item.background) for item in data.class_list] == [("background", True), ("object", False)]
    assert np.unique(data.read_label(root / "masks/p00.png")).tolist() == [0, 1]


def test_familiar_colours_have_names(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    table = np.array([*(item.colour for item in CLASSES), (0, 0, 0)], np.uint8)
    for path in (root / "masks").iterdir():
        write_rgb(path, table[np.arange(40) % 12][None].repeat(30, 0))
    data = described(root)
    assert [item.name for item in data.class_list] == [item.name for item in CLASSES]
    assert data.read_label(root / "masks/p00.png")[0, :12].tolist() == [*range(11), 255]


def test_numbers_with_gaps_are_mapped(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    for path in (root / "masks").iterdir():
        write_rgb(path, np.array([3, 7, 7, 300], np.uint16)[np.arange(40) % 4][None].repeat(30, 0))
    data = described(root)
    assert [item.name for item in data.class_list] == ["class_3", "class_7", "class_300"]
    assert data.read_label(root / "masks/p00.png")[0, :4].tolist() == [0, 1, 1, 2]


def test_folders_and_masks_of_other_names_are_found(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    for i, path in enumerate(sorted((root / "masks").iterdir())):
        part = root / ("train" if i < 4 else "val")
        for source, target in ((root / "images" / path.name, "JPEGImages"), (path, "Labels")):
            (part / target).mkdir(parents=True, exist_ok=True)
            suffix = "_mask" if target == "Labels" else ""
            shutil.move(source, part / target / f"{path.stem}{suffix}.png")
    shutil.rmtree(root / "images")
    shutil.rmtree(root / "masks")
    assert described(root).summary() == {"train": {"all": 4}, "val": {"all": 2}, "test": {}}
    content = yaml.safe_load((root / "classes.yaml").read_text())
    assert (content["images"], content["masks"], content["mask_suffix"]) == ("JPEGImages", "Labels", "_mask")


def test_shares_and_problems_are_told(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    (root / "masks/p01.png").unlink()
    (root / "images/p02.png").write_bytes(b"no picture")
    found = look_at(root)
    assert (found.pictures, found.pairs, found.sizes) == (6, 5, {(30, 40): 4})
    assert found.values[(2,)] == [4 * 10 * 39, 4]
    assert "1 pictures have no mask of their name: images/p01.png" in found.problems[0]
    assert found.problems[1].startswith("images/p02.png is no picture")
    assert "class_2  # 2:  32.50 % of all pixels, in 4 of 5 masks" in classes_text(found)
    assert image_shape(found) == (32, 32)


def test_what_cannot_be_described_is_one_line(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    with pytest.raises(UserError, match=r"classes\.yaml is there already"):
        write_classes(root, look_at(root))
    with pytest.raises(UserError, match="there is no such folder"):
        look_at(tmp_path / "nowhere")
    (root / "masks").rename(root / "other")
    with pytest.raises(UserError, match=r"has no folder called masks \(found: images/, other/\)"):
        look_at(root)
    (root / "masks").mkdir()
    write_rgb(root / "masks/q.png", np.zeros((30, 40), np.uint8))
    with pytest.raises(UserError, match="none of the 6 pictures in images/ has a mask of its name"):
        look_at(root)
    write_rgb(root / "masks/p00.png", np.zeros((30, 40), np.uint8))
    with pytest.raises(UserError, match="all masks hold 0 alone"):
        classes_text(look_at(root))
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    write_rgb(root / "masks/p00.png", noise)
    with pytest.raises(UserError, match=r"1200 colours, too many for classes\. Were they saved as JPEG"):
        look_at(root)
