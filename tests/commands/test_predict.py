import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from segkit.commands.predict import run
from segkit.engine.run_folder import RunFolder
from segkit.engine.task import SegmentationTask
from segkit.errors import UserError
from segkit.inputs import find_pictures
from tests.fixtures import write_rgb

ROAD = [{"name": "background", "colour": None}, {"name": "road", "colour": [0, 255, 0]}]


def write_checkpoint(path: Path, classes: list[dict] = ROAD) -> Path:
    torch.manual_seed(3)
    task = SegmentationTask(classes, [32, 64], encoder="vgg16_bn", fc_channels=8, skip_scale=(1, 1))
    content = {
        "state_dict": task.state_dict(),
        "hyper_parameters": dict(task.hparams),
        "segkit": {"task": "segkit.engine.task.SegmentationTask", "epoch": 1, "scores": {}},
    }
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "best.ckpt")


def predict(checkpoint: Path, pictures: object, output: Path) -> dict:
    folder = RunFolder(output)
    run({"checkpoint": str(checkpoint), "input": str(pictures), "output": str(output), "gpus": 0}, folder)
    folder.close()
    return json.loads((output / "result.json").read_text())


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)


def test_each_picture_at_its_own_size_and_under_its_own_name(checkpoint: Path, tmp_path: Path) -> None:
    sizes = {"wide": (37, 125), "high": (90, 31), "exact": (32, 64), "tiny": (1, 1)}
    for name, (height, width) in sizes.items():
        write_rgb(tmp_path / "in" / f"{name}.png", noise(height, width))
    result = predict(checkpoint, tmp_path / "in", tmp_path / "out")
    assert result["pictures"] == 4
    for name, size in sizes.items():
        image = cv2.imread(str(tmp_path / "in" / f"{name}.png"))
        overlay = cv2.imread(str(tmp_path / "out" / "overlay" / f"{name}.png"))
        mask = np.array(Image.open(tmp_path / "out" / "mask" / f"{name}.png"))
        confidence = cv2.imread(str(tmp_path / "out" / "confidence" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == confidence.shape == size
        assert confidence.dtype == np.uint8
        # Two classes: road is where its confidence is above a half, and there the overlay is half green.
        sure = np.abs(confidence.astype(int) - 127.5) > 1
        assert np.array_equal((mask == 1)[sure], (confidence > 127)[sure])
        green = np.array([0, 255, 0])
        expected = np.where((mask == 1)[..., None], np.rint((image + green) / 2), image)
        assert np.abs(overlay - expected).max() <= 1
    assert len(np.unique(mask)) >= 1


def test_the_mask_shows_the_class_colours(tmp_path: Path) -> None:
    classes = [{"name": f"c{i}", "colour": [i * 20, 200 - i, i]} for i in range(5)]
    write_rgb(tmp_path / "a.png", noise(40, 80))
    predict(write_checkpoint(tmp_path / "five.ckpt", classes), tmp_path / "a.png", tmp_path / "out")
    mask = Image.open(tmp_path / "out" / "mask" / "a.png")
    values, colours = np.array(mask), np.array(mask.convert("RGB"))
    assert values.max() <= 4
    expected = np.array([c["colour"] for c in classes])[values]
    assert np.array_equal(colours, expected)


def test_anyones_pictures_are_read(checkpoint: Path, tmp_path: Path) -> None:
    write_rgb(tmp_path / "in" / "colour.jpg", noise(30, 50))
    write_rgb(tmp_path / "in" / "grey.png", noise(30, 50)[..., 0])
    assert cv2.imwrite(str(tmp_path / "in" / "alpha.png"), noise(30, 50, 4))
    assert cv2.imwrite(str(tmp_path / "in" / "deep.tif"), noise(30, 50).astype(np.uint16) * 257)
    assert predict(checkpoint, tmp_path / "in", tmp_path / "out")["pictures"] == 4


def test_an_unreadable_picture_is_named_and_the_others_are_written(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_rgb(tmp_path / "in" / f"{name}.png", noise(30, 50))
    cut = tmp_path / "in" / "b.png"
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(SystemExit) as end:
        predict(checkpoint, tmp_path / "in", tmp_path / "out")
    assert end.value.code == 1
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert list(result["unreadable"]) == [str(cut)]
    assert sorted(path.stem for path in (tmp_path / "out" / "overlay").iterdir()) == ["a", "c"]


def test_pictures_are_not_painted_over_themselves(checkpoint: Path, tmp_path: Path) -> None:
    write_rgb(tmp_path / "out" / "overlay" / "a.png", noise(30, 50))
    before = (tmp_path / "out" / "overlay" / "a.png").read_bytes()
    with pytest.raises(UserError, match="lie in it and could be overwritten"):
        predict(checkpoint, tmp_path / "out" / "overlay", tmp_path / "out")
    assert (tmp_path / "out" / "overlay" / "a.png").read_bytes() == before


def test_what_input_can_be(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg", "sub/c.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in find_pictures(str(tmp_path))] == ["a.png", "b.jpg"]
    assert [path.name for path in find_pictures(str(tmp_path / "a.png"))] == ["a.png"]
    assert [path.name for path in find_pictures(f"{tmp_path}/**/*.png")] == ["a.png", "c.png"]
    with pytest.raises(UserError, match=r"input=.*nothing.*: no picture there"):
        find_pictures(str(tmp_path / "nothing"))
    (tmp_path / "a.jpg").touch()
    with pytest.raises(UserError, match=r"a\.jpg and .*a\.png would be written under the same name"):
        find_pictures(str(tmp_path))


def test_real_pictures_of_four_sizes(checkpoint: Path, tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "kitti_road" / "testing" / "image_2"
    chosen = {cv2.imread(str(path)).shape: path for path in sorted(folder.glob("*.png"))}
    assert len(chosen) == 4
    for shape, path in chosen.items():
        predict(checkpoint, path, tmp_path / "out")
        assert cv2.imread(str(tmp_path / "out" / "overlay" / path.name)).shape == shape
