"""The network that comes with segkit: there without ``checkpoint=``, small, and said to be what it is."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors import safe_open

import segkit as library
from segkit.errors import UserError
from segkit.runs import find
from segkit.scenes.generate import generate_scenes
from tests.commands.in_process import segkit
from tests.fixtures import write_camvid

MOST_BYTES = 8_000_000
CLASSES = [
    *("road", "sidewalk", "building", "pole", "vegetation", "terrain", "sky", "person", "vehicle", "bicycle"),
]


@pytest.fixture(autouse=True)
def told_again() -> None:
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated scenes, three for each of KITTI's categories, which no training has seen."""
    root = tmp_path_factory.mktemp("scenes") / "data"
    generate_scenes(root, (3, 3), seed=17, also=["semantic"])
    return root


def result(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return read


def test_a_picture_is_painted_without_a_checkpoint_and_it_is_said_by_what(scenes: Path, tmp_path: Path) -> None:
    picture = scenes / "testing/image_2/um_000000.png"
    done = segkit("predict", f"input={picture}", "gpus=0", "precision=fp32", cwd=tmp_path)
    assert done.code == 0, done.err
    (folder,) = (tmp_path / "outputs/predict").iterdir()
    (said,) = [line for line in (done.err + done.out).splitlines() if "comes with segkit" in line]
    assert "generated scenes alone" in said
    assert said.endswith("segkit/bundled/README.md")
    assert f"painted: {folder}/overlay/um_000000.png" in done.err + done.out
    assert result(folder)["checkpoint"] == [str(find.BUNDLED_FOLDER / "model.safetensors")]
    mask, _ = library.load().predict(cv2.imread(str(picture), cv2.IMREAD_COLOR_RGB))
    np.testing.assert_array_equal(np.array(Image.open(folder / "mask/um_000000.png")), mask)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_any_photograph_is_painted_as_a_viewer_shows_it(ending: str, tmp_path: Path) -> None:
    shown = np.random.default_rng(0).integers(0, 256, (90, 60, 3), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees, as a telephone that was held upright writes it
    Image.fromarray(np.rot90(shown)).save(tmp_path / f"photo.{ending}", exif=turned)
    done = segkit("predict", "input=photo." + ending, "output=out", "format=mask", "gpus=0", cwd=tmp_path)
    assert done.code == 0, done.err
    assert Image.open(tmp_path / "out/mask/photo.png").size == (60, 90)


def test_a_telephones_other_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    done = segkit("predict", "input=photo.heic", "output=out", "gpus=0", cwd=tmp_path)
    assert done.code == 1
    assert "photo.heic is HEIC or AVIF, which is not read; save it as JPEG" in done.err + done.out


def test_it_knows_ten_classes_and_is_small() -> None:
    assert [item.name for item in library.load().class_list] == CLASSES
    files = {path.name: path.stat().st_size for path in find.BUNDLED_FOLDER.iterdir()}
    assert files.keys() == {"model.safetensors", "config.json", "README.md"}
    assert sum(files.values()) <= MOST_BYTES
    with safe_open(find.BUNDLED_FOLDER / "model.safetensors", "numpy") as weights:
        kinds = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - no mapping
    assert kinds == {"BF16", "I64"}


def test_it_finds_the_road_of_scenes_that_it_has_not_seen(scenes: Path) -> None:
    network, found, either = library.load(), 0, 0
    for picture in sorted((scenes / "training/image_2").iterdir()):
        mask, _ = network.predict(cv2.imread(str(picture), cv2.IMREAD_COLOR_RGB))
        label = cv2.imread(str(scenes / "training/semantic" / picture.name), cv2.IMREAD_UNCHANGED)
        road, said = label == 7, mask == CLASSES.index("road")  # 7: the road's number among Cityscapes' label ids
        found, either = found + int((road & said).sum()), either + int((road | said).sum())
    assert found / either > 0.8


def test_its_card_has_scores_on_real_pictures() -> None:
    card = (find.BUNDLED_FOLDER / "README.md").read_text()
    assert "never seen a photograph" in card
    for data in ("camvid", "kitti_road"):
        assert re.search(rf"`segkit evaluate data={data} .* checkpoint=bundled` .*\n\n(\|.*\n)+\| road \| \d", card)


def test_where_it_is_absent_a_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "BUNDLED_FOLDER", tmp_path / "gone")
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((8, 8, 3), np.uint8))
    done = segkit("predict", "input=photo.png", cwd=tmp_path)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "checkpoint: this copy of segkit comes without a network" in done.err
    assert not (tmp_path / "outputs").exists()
    with pytest.raises(UserError, match="load: this copy of segkit comes without a network"):
        library.load()


def test_it_is_scored_at_its_own_size_without_a_checkpoint(tmp_path: Path) -> None:
    write_camvid(tmp_path / "camvid")
    merge = "compare={road: [road], sidewalk: [pavement, sidewalk]}"
    words = ["data=camvid", "data.root=camvid", "part=all", merge, "gpus=0", "hydra.run.dir=out"]
    done = segkit("evaluate", *words, cwd=tmp_path)
    assert done.code == 0, done.err
    own = json.loads((find.BUNDLED_FOLDER / "config.json").read_text())["input"]
    used = yaml.safe_load((tmp_path / "out/.hydra/config.yaml").read_text())["data"]
    assert {key: used[key] for key in own} == own
    assert used["resize"] == 640
    assert set(result(tmp_path / "out")["classes"]["iou"]) >= {"road", "sidewalk"}
    assert "nobody knows which pictures" not in done.err + done.out
