import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from segkit.commands.data import run
from segkit.errors import UserError
from segkit.runs.folder import RunFolder
from tests.fixtures import write_folder, write_kitti

CONF = Path(__file__).resolve().parents[2] / "conf"


def data(folder: Path, *overrides: str) -> dict[str, Any]:
    cache = f"data.cache_dir={folder / 'cache'}"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("data", [cache, *overrides])
    OmegaConf.resolve(config)
    settings = OmegaConf.to_container(config)
    assert isinstance(settings, dict)
    run_folder = RunFolder(folder)
    try:
        run(settings, run_folder)
    finally:
        run_folder.close()
    return json.loads((folder / "result.json").read_text())


def test_stats(kitti_root: Path, tmp_path: Path) -> None:
    result = data(tmp_path / "run", "action=stats", f"data.root={kitti_root}", "data.split=fraction")
    assert result["pictures"] == {"training": 18, "test": 6, "total": 24}
    assert result["labels"]["road"] == 18
    assert (tmp_path / "run" / "sheet.png").stat().st_size > 1000


def test_show(camvid_root: Path, tmp_path: Path) -> None:
    result = data(tmp_path / "run", "action=show", "data=camvid", f"data.root={camvid_root}")
    plain = cv2.imread(result["sheet"])
    assert plain is not None
    words = ["action=show", "data=camvid", f"data.root={camvid_root}", "data.image_shape=[30,40]"]
    sheets = [
        cv2.imread(data(tmp_path / str(number), *words, "augment=street", f"seed={seed}")["sheet"])
        for number, seed in enumerate((0, 0, 1))
    ]
    assert sheets[0].shape != plain.shape
    assert np.array_equal(sheets[0], sheets[1])
    assert not np.array_equal(sheets[0], sheets[2])


def test_init_describes_a_folder_that_then_can_be_used(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine", colours=True)
    (root / "classes.yaml").unlink()
    result = data(tmp_path / "init", "action=init", f"data.root={root}")
    assert (result["pictures"], result["masks"], result["problems"]) == (6, 6, [])
    assert result["sizes"] == [{"height": 30, "width": 40, "count": 6}]
    numbers = data(tmp_path / "stats", "action=stats", "data=folder", f"data.root={root}")
    assert list(numbers["classes"]) == ["background", "class_1", "class_2", "class_3"]
    data(tmp_path / "show", "action=show", "data=folder", f"data.root={root}")
    assert data(tmp_path / "verify", "action=verify", "data=folder", f"data.root={root}")["data"]["val"] == {"all": 1}
    with pytest.raises(UserError, match="is there already"):
        data(tmp_path / "again", "action=init", f"data.root={root}")


def test_verify_is_silent_about_a_good_set_and_reports_a_bad_one(kitti_root: Path, tmp_path: Path) -> None:
    arguments = ["action=verify", f"data.root={kitti_root}", "data.split=fraction"]
    assert data(tmp_path / "run", *arguments)["data"]["test"] == {"um": 2, "umm": 2, "uu": 2}
    (kitti_root / "training/gt_image_2/um_road_000002.png").unlink()
    broken = kitti_root / "testing/image_2/uu_000001.png"
    broken.write_bytes(broken.read_bytes()[:50])
    with pytest.raises(
        UserError, match=r"(?s)uu_000001\.png is truncated.*um_000002\.png has no .*um_road_000002\.png"
    ):
        data(tmp_path / "run", *arguments)


@pytest.mark.parametrize("looks", ["kitti", "varied"])
def test_generate_then_train_on_it(looks: str, tmp_path: Path) -> None:
    root = tmp_path / "scenes"
    result = data(tmp_path / "run", "action=generate", f"data.root={root}", "count=[6,3]", "seed=1", f"looks={looks}")
    assert (result["count"], result["looks"]) == ([6, 3], looks)
    checked = data(tmp_path / "run", "action=verify", f"data.root={root}", "data.split=fold", "data.fold=4")
    assert sum(checked["data"]["test"].values()) == 3
    with pytest.raises(UserError, match="already holds pictures"):
        data(tmp_path / "run", "action=generate", f"data.root={root}", "count=[6,3]")


def test_labels_of_every_object_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    root = tmp_path / "scenes"
    words = ["action=generate", f"data.root={root}", "count=[6,3]"]
    assert data(tmp_path / "run", *words, "also=[semantic,depth]")["also"] == ["semantic", "depth"]
    folders = {path.name for path in (root / "training").iterdir()}
    assert folders == {"image_2", "calib", "gt_image_2", "semantic", "depth"}
    # One folder is a data set of roads and one of every object, each part with its share of each category.
    each = {"um": 1, "umm": 1, "uu": 1}
    for module in ("kitti_road", "kitti_semantic"):
        words = ["action=verify", f"data={module}", f"data.root={root}", "data.split=fraction", "data.val_fraction=0.5"]
        assert data(tmp_path / "run", *words)["data"] == {"train": each, "val": each, "test": each}
    counted = data(tmp_path / "run", "action=stats", "data=kitti_semantic", f"data.root={root}")
    assert counted["pictures"]["total"] == 9
    found = {name for name, share in counted["classes"].items() if share}
    assert {"road", "sky", "vegetation", "car"} <= found
    assert "train" not in found


def test_a_zip_that_is_not_the_whole_set_is_not_installed(kitti_root: Path, tmp_path: Path) -> None:
    archive = tmp_path / "data_road.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted(kitti_root.rglob("*.png")):
            zipped.write(path, f"data_road/{path.relative_to(kitti_root)}")
    root = tmp_path / "installed"
    with pytest.raises(UserError, match="training has 6 um pictures instead of 95"):
        data(tmp_path / "run", "action=download", f"data.url={archive}", f"data.root={root}")
    assert not root.exists()
    assert archive.exists()


def test_a_whole_zip_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "segkit.road.dataset.PUBLISHED",
        {"training": {"um": 6, "umm": 6, "uu": 6}, "testing": {"um": 2, "umm": 2, "uu": 2}},
    )
    source = write_kitti(tmp_path / "source")
    archive = tmp_path / "data_road.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted(source.rglob("*.png")):
            zipped.write(path, f"data_road/{path.relative_to(source)}")
    root = tmp_path / "installed"
    data(tmp_path / "run", "action=download", f"data.url={archive}", f"data.root={root}")
    assert sorted(p.relative_to(root) for p in root.rglob("*.png")) == sorted(
        p.relative_to(source) for p in source.rglob("*.png")
    )


def test_only_kitti_can_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="this data set has no address"):
        data(tmp_path / "run", "action=download", "data=camvid")
