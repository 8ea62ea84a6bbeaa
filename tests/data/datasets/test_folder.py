"""A folder of one's own pictures, in every layout that people have."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.data.datasets.folder import FolderDataModule
from segkit.errors import UserError
from tests.fixtures import CLASSES_YAML, write_folder, write_rgb


def module(root: Path, **settings) -> FolderDataModule:
    return FolderDataModule(root, [15, 20], 2, workers=0, cache_dir=root.parent / "cache", **settings)


def test_numbers_and_colours_give_the_same_labels(tmp_path: Path) -> None:
    numbers, colours = (write_folder(tmp_path / str(kind), colours=kind) for kind in (False, True))
    labels = [module(root).read_label(root / "masks/p00.png") for root in (numbers, colours)]
    np.testing.assert_array_equal(*labels)
    assert np.unique(labels[0]).tolist() == [0, 1, 2, 255]
    assert [item.name for item in module(colours).class_list] == ["ground", "road", "sky"]


def test_the_last_pictures_are_for_validation(tmp_path: Path) -> None:
    data = module(write_folder(tmp_path / "mine"), val_fraction=0.34)
    data.setup()
    assert data.summary() == {"train": {"all": 4}, "val": {"all": 2}, "test": {}}
    assert [record.name for record in data.records("val")] == ["p04", "p05"]
    assert "the last 2 of 6 pictures" in " ".join(data.layout.found)
    batch = next(iter(data.train_dataloader()))
    assert (tuple(batch["image"].shape), tuple(batch["label"].shape)) == ((2, 3, 15, 20), (2, 15, 20))


def into_parts(root: Path, place: Callable[[str, str], str]) -> None:
    """Move the pictures to ``place(folder, part)``, two for validation and one for the test."""
    for folder in ("images", "masks"):
        for i, path in enumerate(sorted((root / folder).iterdir())):
            target = root / place(folder, "train" if i < 3 else "val" if i < 5 else "test") / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
        if not any((root / folder).iterdir()):
            (root / folder).rmdir()


@pytest.mark.parametrize("ending", ["jpg", "webp", "tif", "png"])
@pytest.mark.parametrize(
    "place", [lambda folder, part: f"{folder}/{part}", lambda folder, part: f"{part}/{folder}"], ids=["below", "above"]
)
def test_parts_are_folders_above_or_below(tmp_path: Path, place: Callable[[str, str], str], ending: str) -> None:
    root = write_folder(tmp_path / "mine", ending=ending)
    into_parts(root, place)
    data = module(root)
    data.prepare()
    assert data.summary() == {"train": {"all": 3}, "val": {"all": 2}, "test": {"all": 1}}
    assert data.records("test")[0].label is not None


def test_parts_are_lists_of_names(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    (root / "train.txt").write_text("p00\np01.png\n\nimages/p05.png\n")
    (root / "val.txt").write_text("./images/p02.png\n")
    data = module(root)
    data.prepare()
    assert [record.name for record in data.records("train")] == ["p00", "p01", "p05"]
    assert [record.name for record in data.records("val")] == ["p02"]
    (root / "val.txt").write_text("p02\nq99\n")
    with pytest.raises(UserError, match=r"val\.txt names q99, and there is no such picture"):
        module(root).prepare()


def test_ultralytics_files_are_understood(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    into_parts(root, lambda folder, part: f"{folder}/{part}")
    (root / "masks").rename(root / "labels")
    (root / "classes.yaml").unlink()
    (root / "mine.yaml").write_text(
        "path: ../datasets/mine\ntrain: images/train\nval: images/val\nmasks_dir: labels\n"
        "names:\n  0: road\n  1: rest\nlabel_mapping: {-1: ignore_label, 0: 1, 1: 0, 2: 255}\n"
    )
    data = module(root)
    data.prepare()
    assert data.summary() == {"train": {"all": 3}, "val": {"all": 2}, "test": {}}
    assert np.unique(data.read_label(root / "labels/train/p00.png")).tolist() == [0, 1, 255]
    assert data.read_label(root / "labels/train/p00.png")[25, 20] == 0


def test_masks_may_carry_a_suffix_and_lie_in_folders_of_drives(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    for i, path in enumerate(sorted((root / "masks").iterdir())):
        drive = "a" if i < 3 else "b"
        for old, new in (
            (path, f"masks/{drive}/{path.stem}_L.png"),
            (root / f"images/{path.name}", f"images/{drive}/"),
        ):
            (root / new).parent.mkdir(exist_ok=True)
            (root / f"images/{drive}").mkdir(exist_ok=True)
            shutil.move(old, root / new)
    (root / "classes.yaml").write_text(CLASSES_YAML + "mask_suffix: _L\n")
    assert module(root, val_fraction=0.34).summary() == {"train": {"a": 2, "b": 2}, "val": {"a": 1, "b": 1}, "test": {}}


def test_equal_names_in_two_parts_are_two_pictures_unless_they_are_one(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    into_parts(root, lambda folder, part: f"{part}/{folder}")
    for folder in ("images", "masks"):
        shutil.move(root / f"val/{folder}/p03.png", root / f"val/{folder}/p00.png")
    assert {record.name for part in ("train", "val") for record in module(root).records(part)} == {
        *("train_p00", "p01", "p02"),
        *("val_p00", "p04"),
    }
    shutil.copy(root / "train/images/p00.png", root / "val/images/p00.png")
    with pytest.raises(UserError, match=r"train/images/p00\.png is also val/images/p00\.png, in val"):
        module(root).prepare()


def test_every_mistake_is_in_one_report(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine", count=9, colours=True)
    (root / "masks/p00.png").unlink()
    (root / "images/p01.png").unlink()
    mask = cv2.imread(str(root / "masks/p02.png"))[..., ::-1].copy()
    mask[0, 5:9] = (71, 130, 180)
    write_rgb(root / "masks/p02.png", mask)
    mask[0, 5:9] = (9, 200, 9)
    write_rgb(root / "masks/p03.png", mask)
    write_rgb(root / "masks/p04.png", np.full((30, 40), 7, np.uint8))
    write_rgb(root / "masks/p05.png", np.zeros((30, 41), np.uint8))
    (root / "images/p06.png").write_bytes((root / "images/p06.png").read_bytes()[:90])
    shutil.copy(root / "images/p07.png", root / "images/p07.tif")
    with pytest.raises(UserError) as error:
        module(root).prepare()
    report = str(error.value)
    for line in (
        "images/p00.png has no masks/p00.png",
        "masks/p01.png has no images/p01.*",
        "masks/p02.png has 4 pixels of the colour [71, 130, 180], close to [70, 130, 180]; was it saved as JPEG",
        "masks/p03.png has 4 pixels of the colour [9, 200, 9]; add it to colours or to ignore in classes.yaml",
        "masks/p04.png has the value 7, which classes.yaml does not name: add it to label_mapping or to ignore",
        "masks/p05.png is 41×30, its image 40×30",
        "images/p06.png is truncated",
        "images/p07.tif has another picture's name",
    ):
        assert line in report


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{}", "names should be the classes by their numbers"),
        ("- a", "holds no keys"),
        ("names: {0: a, 2: b}", "numbers of names should run from 0 to 1"),
        ("names: [a, a]", "names has a more than once"),
        ("names: [a]", "names has one class"),
        ("names: [a, b]\ncolors: []", "colors is no key; did you mean colours"),
        ("names: [road, b]\ncolours: {raod: [1, 2, 3]}", "there is no class raod; did you mean road"),
        ("names: [a, b]\ncolours: {a: [1, 2]}", r"colours.a: \[1, 2\] should be a colour"),
        ("names: [a, b]\ncolours: [[1, 2, 3], [1, 2, 3]]", r"has \[1, 2, 3\] for more than one class"),
        ("names: [a, b]\nlabel_mapping: {0: 5}", "label_mapping.0: there is no class 5"),
        ("names: [a, b]\nlabel_mapping: [0]", "label_mapping should be a class by mask value"),
        ("names: [a, b]\nignore: [x]", "ignore: x should be a colour"),
        ("names: [a, b]\nmasks: 3", "masks=3 should be the name of a folder"),
        ("names: [a", "cannot be read"),
    ],
)
def test_a_wrong_classes_file_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    root = write_folder(tmp_path / "mine")
    (root / "classes.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"classes\.yaml: .*{line}") as error:
        module(root).prepare()
    assert "\n" not in str(error.value)


def test_what_is_missing_altogether_is_one_line(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    (root / "images").rename(root / "fotos")
    with pytest.raises(UserError, match=r"has neither images/ nor train/images/ \(found: fotos/, masks/\)"):
        module(root).prepare()
    (root / "classes.yaml").unlink()
    with pytest.raises(UserError, match=r"segkit data action=init data\.root="):
        module(root).prepare()
    for name in ("a.yaml", "b.yaml"):
        (root / name).write_text("names: [a, b]")
    with pytest.raises(UserError, match=r"a\.yaml, b\.yaml all have names; say which by data\.description"):
        module(root).prepare()
    with pytest.raises(UserError, match="there is no such folder"):
        module(tmp_path / "nowhere").prepare()


def test_palette_masks_and_grey_masks_in_three_channels_are_numbers(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    (root / "classes.yaml").write_text("names: [ground, road, sky]\n")
    expected = module(root).read_label(root / "masks/p00.png")
    palette = Image.fromarray(expected, "P")
    palette.putpalette([value % 251 for value in range(768)])
    palette.save(root / "masks/p01.png")
    write_rgb(root / "masks/p02.tif", np.repeat(expected[..., None], 3, 2))
    write_rgb(root / "masks/p03.png", expected.astype(np.uint16))
    for name in ("p01.png", "p02.tif", "p03.png"):
        np.testing.assert_array_equal(module(root).read_label(root / "masks" / name), expected)
    write_rgb(root / "masks/p04.png", np.dstack([expected, expected, expected + 1]))
    with pytest.raises(UserError, match=r"p04\.png is in colour, and classes\.yaml has no colours"):
        module(root).read_label(root / "masks/p04.png")


def test_a_changed_classes_file_is_seen(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    before = module(root).pixel_counts()
    (root / "classes.yaml").write_text("names: [ground, road, sky]\nlabel_mapping: {0: 1, 1: 0, 2: 2}\n")
    after = module(root).pixel_counts()
    assert before.tolist() == [after[1], after[0], after[2]]
