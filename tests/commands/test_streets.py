"""Data sets of streets from the first look to the server's files, each by the commands that a user types."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.commands.in_process import Outcome, segkit
from tests.fixtures import write_bdd100k, write_camvid, write_cityscapes, write_folder, write_kitti_semantic

WRITE: dict[str, Callable[[Path], Path]] = {
    "cityscapes": write_cityscapes,
    "kitti_semantic": write_kitti_semantic,
    "bdd100k": write_bdd100k,
    "camvid": write_camvid,
    "folder": write_folder,
}
SMALL = ["model.weights=null", "model.fc_channels=8", "trainer.gpus=0", "trainer.max_epochs=1", "predictions=0"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a tree of each data set, and a network trained on Cityscapes' in ``cityscapes/``."""
    work = tmp_path_factory.mktemp("streets")
    for name, write in WRITE.items():
        write(work / "data" / name)
    done = train(work, "cityscapes", "trainer.limit_batches=1")
    assert done.code == 0, done.err
    return work


def given(name: str) -> list[str]:
    return [f"data={name}", f"data.root=data/{name}", "data.workers=0"]


def train(work: Path, name: str, *more: str, folder: str = "") -> Outcome:
    words = [*given(name), "data.image_shape=[32,32]", "data.resize=null", *SMALL]
    return segkit("train", *words, *more, f"hydra.run.dir={folder or name}", cwd=work)


def result(work: Path, folder: str) -> dict[str, Any]:
    return json.loads((work / folder / "result.json").read_text())


@pytest.mark.parametrize("name", WRITE)
def test_a_data_set_is_checked_counted_and_shown(work: Path, name: str) -> None:
    for action in ("verify", "stats", "show"):
        done = segkit("data", f"action={action}", *given(name), f"hydra.run.dir={action}/{name}", cwd=work)
        assert done.code == 0, done.err
    assert (work / f"show/{name}/sheet.png").stat().st_size > 1000


@pytest.mark.parametrize("name", [name for name in WRITE if name != "cityscapes"])
def test_a_data_set_is_trained_in_crops_and_scored_whole(work: Path, name: str) -> None:
    done = train(work, name, "trainer.limit_batches=1")
    assert done.code == 0, done.err
    done = segkit("evaluate", f"checkpoint={name}", "gpus=0", f"hydra.run.dir=scored/{name}", cwd=work)
    assert done.code == 0, done.err
    assert 0 <= result(work, f"scored/{name}")["classes"]["mean_iou"] <= 1


@pytest.mark.parametrize("window", ["sliding", "whole"])
def test_cityscapes_is_scored_through_windows_and_whole(work: Path, window: str) -> None:
    words = ["checkpoint=cityscapes", "gpus=0", f"data.window={window}", f"hydra.run.dir=scored/{window}"]
    done = segkit("evaluate", *words, cwd=work)
    assert done.code == 0, done.err
    assert result(work, f"scored/{window}")["pictures"] == {"lindau": 2}


def test_training_goes_on_with_kittis_pictures(work: Path) -> None:
    done = train(work, "kitti_semantic", "init_from=cityscapes", "trainer.limit_batches=1", folder="onward")
    assert done.code == 0, done.err
    assert "init_from=cityscapes" in done.out
    assert "left" not in next(line for line in done.out.splitlines() if "init_from" in line).split("init_from")[1]


def test_a_network_is_scored_on_another_set_where_classes_can_be_compared(work: Path) -> None:
    words = ["evaluate", "checkpoint=cityscapes", "data=camvid", "data.root=data/camvid", "gpus=0"]
    done = segkit(*words, cwd=work)
    assert (done.code, "compare={} scores those that have the same name" in done.err) == (2, True)
    merge = "compare={vegetation: [tree, vegetation, terrain], sidewalk: [pavement, sidewalk], ignore: [fence]}"
    done = segkit(*words, merge, "hydra.run.dir=across", cwd=work)
    assert done.code == 0, done.err
    found = result(work, "across")
    names = ["sky", "building", "pole", "road", "sidewalk", "vegetation", "car"]
    assert list(found["compared"]) == names
    assert found["compared"]["vegetation"] == {"network": ["vegetation", "terrain"], "data": ["tree"]}
    assert found["left_out"]["data"] == ["sign symbol", "fence", "pedestrian", "bicyclist"]
    assert {"fence", "truck", "rider"} <= set(found["left_out"]["network"])
    assert list(found["classes"]["iou"]) == names
    assert "not compared, pixels that are not scored: sign symbol, fence, pedestrian, bicyclist" in done.out
    assert "not compared, wrong where the network says so: wall, fence, traffic light" in done.out
    assert (work / "across/figures/clean/confusion.png").is_file()


def test_merged_classes_are_those_of_the_run_unless_others_are_given(work: Path) -> None:
    merge = "data.classes={vehicle: [car], road: [road], ignore: [tree]}"
    done = train(work, "camvid", merge, "trainer.limit_batches=1", folder="merged")
    assert done.code == 0, done.err
    pixels = []
    for i, more in enumerate(([], ["data.classes={vehicle: [car], road: [road]}"])):
        done = segkit("evaluate", "checkpoint=merged", "gpus=0", *more, f"hydra.run.dir=scored/{i}", cwd=work)
        assert done.code == 0, done.err
        pixels.append(result(work, f"scored/{i}")["classes"]["pixels"])
    assert [list(own) for own in pixels] == [["background", "vehicle", "road"]] * 2
    assert pixels[1]["background"] - pixels[0]["background"] == pixels[0]["road"]  # the tree, as wide as the road
    done = segkit("evaluate", "checkpoint=merged", "gpus=0", "data.classes={road: [road]}", cwd=work)
    assert (done.code, "are not those of data (background, road)" in done.err) == (2, True)


def test_label_ids_are_written_for_the_server(work: Path) -> None:
    words = ["predict", "checkpoint=cityscapes", "input=data/cityscapes/leftImg8bit/test/berlin", "gpus=0"]
    done = segkit(*words, "output=server", "format=cityscapes", cwd=work)
    assert done.code == 0, done.err
    assert "the server wants its 1525 test pictures; " in done.out
    (written,) = (work / "server" / "cityscapes").iterdir()
    assert written.name == "berlin_000000_000019_leftImg8bit.png"
    assert cv2.imread(str(written), cv2.IMREAD_UNCHANGED).shape == (32, 64)
    done = segkit(*words[:2], "input=data/camvid/val", "gpus=0", "output=no", "format=cityscapes", cwd=work)
    assert (done.code, "0016E5_00000.png is not called <city>" in done.err) == (2, True)


def test_kittis_archive_is_fetched(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = work / "data_semantics.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted((work / "data/kitti_semantic").rglob("*.png")):
            zipped.write(path, path.relative_to(work / "data/kitti_semantic"))
    words = ["data", "action=download", "data=kitti_semantic", f"data.url={archive}", "data.root=fetched"]
    done = segkit(*words, cwd=work)
    assert (done.code, "training has 10 pictures instead of 200" in done.err) == (2, True)
    monkeypatch.setattr("segkit.data.datasets.kitti_semantic.PUBLISHED", {"training": 10, "testing": 2})
    done = segkit(*words, cwd=work)
    assert done.code == 0, done.err
    assert len(list((work / "fetched").glob("*/image_2/*.png"))) == 12


def test_a_painted_mask_holds_the_classes(work: Path) -> None:
    words = ["checkpoint=cityscapes", "input=data/cityscapes/leftImg8bit/val/lindau", "gpus=0", "output=painted"]
    done = segkit("predict", *words, "format=[mask,overlay]", cwd=work)
    assert done.code == 0, done.err
    masks = [cv2.imread(str(path)) for path in (work / "painted/mask").iterdir()]
    assert [mask.shape for mask in masks] == [(32, 64, 3)] * 2
    assert np.unique(masks).size > 1
