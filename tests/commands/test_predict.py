import json
import shutil
import threading
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import segkit
from segkit.commands.predict import run
from segkit.config.schema import validate
from segkit.config.trained_schema import PredictSettings
from segkit.data.palette import ELEVEN
from segkit.data.picture_input import PictureInput
from segkit.distributed.devices import prediction_precision
from segkit.errors import UserError
from segkit.models.fcn import FCN
from segkit.models.trained import VERSION
from segkit.predict.inputs import find_pictures
from segkit.predict.writers import Stages
from segkit.road import BirdsEyeView, Calibration
from segkit.road.layout import find_calibrations
from segkit.runs.folder import RunFolder
from segkit.scenes.generate import generate_scenes
from tests.fixtures import level_camera, write_rgb

PAINT = {"alpha": 0.5, "outlines": True, "legend": "auto", "colours": "own"}
ROAD = [{"name": "background", "colour": None}, {"name": "road", "colour": [0, 255, 0]}]


def write_checkpoint(path: Path, classes: list[dict] = ROAD, seed: int = 3, shape: tuple[int, int] = (32, 64)) -> Path:
    torch.manual_seed(seed)
    about = {"encoder": "mobilenet_v3_large", "fc_channels": None, "skip_scale": [1.0, 1.0]}
    network = FCN(len(classes), encoder="mobilenet_v3_large", fc_channels=None, skip_scale=(1, 1))
    model = {"_target_": "segkit.models.fcn.FCN", **about}
    entry = {"version": VERSION, "model": model, "classes": [{"background": False} | item for item in classes]}
    entry |= {"input": PictureInput.of(shape).as_dict(), "epoch": 1, "scores": {}}
    content = {
        "state_dict": {f"network.{name}": value for name, value in network.state_dict().items()},
        "segkit": entry,
    }
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of one test picture in each category, with their calibrations."""
    root = tmp_path_factory.mktemp("scenes") / "root"
    generate_scenes(root, (0, 3), seed=1, workers=1)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "best.ckpt")


def predict(checkpoint: Path | list[str], pictures: object, output: Path, root: object = "data", **more: Any) -> dict:
    place = checkpoint if isinstance(checkpoint, list) else str(checkpoint)
    settings: dict[str, Any] = {"checkpoint": place, "input": str(pictures), "output": str(output), "gpus": 0}
    settings |= {"precision": "auto", "trust": [], "average": [], "paint": PAINT, "container": "webm"}
    settings |= {"stride": 1, "start": 0, "end": None, "fps": None, "smooth": 0}
    settings |= {
        "format": ["overlay", "mask", "confidence"],
        "calibration": None,
        "data": {"root": root and str(root), "max_megapixels": 50},
    } | more
    validate(PredictSettings, settings)
    folder = RunFolder(output)
    try:
        run(settings, folder)
    finally:
        folder.close()
    return json.loads((output / "result.json").read_text())


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)


def test_each_picture_at_its_own_size_and_under_its_own_name(checkpoint: Path, tmp_path: Path) -> None:
    sizes = {"wide": (37, 125), "high": (90, 31), "exact": (32, 64), "tiny": (1, 1)}
    for name, (height, width) in sizes.items():
        write_rgb(tmp_path / "in" / f"{name}.png", noise(height, width))
    result = predict(checkpoint, tmp_path / "in", tmp_path / "out", paint=PAINT | {"outlines": False})
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


def test_what_took_how_long_is_said(checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_rgb(tmp_path / "in" / "a.png", noise(30, 50))
    with caplog.at_level("INFO"):
        result = predict(checkpoint, tmp_path / "in", tmp_path / "out")
    seconds = result["seconds"]
    assert list(seconds) == ["reading", "network", "writing", "wall"]
    assert max(seconds.values()) == seconds["wall"]
    assert seconds[result["slowest"]] == max(seconds[name] for name in ("reading", "network", "writing"))
    assert f"slowest: {result['slowest']}" in caplog.messages[-1]
    assert result["precision"] == prediction_precision("auto", None)


@pytest.mark.parametrize(
    "slow", [("read", "reading"), ("network", "network"), ("write", "writing")], ids=lambda s: s[0]
)
def test_what_all_else_waits_for_is_said(
    slow: tuple[str, str],
    checkpoint: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A minute of each thread's own passes with every call of the slow stage, and no time elsewhere."""
    stage, called = slow
    own, before = threading.local(), getattr(Stages, stage)

    def lasting(*arguments: Any) -> Any:
        own.now = getattr(own, "now", 0.0) + 60
        return before(*arguments)

    monkeypatch.setattr("time.perf_counter", lambda: getattr(own, "now", 0.0))
    monkeypatch.setattr(Stages, stage, lasting)
    for name in ("a", "b"):
        write_rgb(tmp_path / "in" / f"{name}.png", noise(30, 50))
    with caplog.at_level("INFO"):
        result = predict(checkpoint, tmp_path / "in", tmp_path / "out")
    assert result["slowest"] == called
    assert result["seconds"][called] >= 60
    assert caplog.messages[-1].endswith(f"slowest: {called}")


def test_averaged_over_views_and_networks(checkpoint: Path, tmp_path: Path) -> None:
    write_rgb(tmp_path / "in" / "a.png", noise(37, 125))
    checkpoints = [str(tmp_path / "one.ckpt"), str(tmp_path / "two.ckpt")]
    for seed, place in enumerate(checkpoints):
        content = torch.load(write_checkpoint(Path(place), seed=seed, shape=(32 + 32 * seed, 64)), weights_only=True)
        for name, value in content["state_dict"].items():
            if name.startswith("network.decoder"):
                value *= 400  # as they are, random weights say one half of every pixel
        torch.save(content, place)
    result = predict(checkpoint, tmp_path / "in", tmp_path / "plain")
    assert (result["checkpoint"], result["average"]) == ([str(checkpoint)], [])
    result = predict(checkpoints, tmp_path / "in", tmp_path / "mean", average=["flip", 0.75], precision="fp32")
    assert (result["checkpoint"], result["average"]) == (checkpoints, ["flip", 0.75])
    written = cv2.imread(str(tmp_path / "mean" / "confidence" / "a.png"), cv2.IMREAD_UNCHANGED)
    own = [segkit.load(place, average=["flip", 0.75]).probabilities(noise(37, 125)) for place in checkpoints]
    assert float((own[0] - own[1]).abs().max()) > 0.05
    expected = (((own[0] + own[1]) / 2)[1] * 255).round().byte().numpy()
    assert np.abs(written.astype(int) - expected).max() <= 1


def test_networks_of_other_classes_or_given_twice_are_no_mean(checkpoint: Path, tmp_path: Path) -> None:
    write_rgb(tmp_path / "in" / "a.png", noise(30, 50))
    lane = write_checkpoint(tmp_path / "lane.ckpt", [ROAD[0], {"name": "lane", "colour": None}])
    with pytest.raises(UserError, match=r"best\.ckpt and .*lane\.ckpt cannot be averaged, their classes are"):
        predict([str(checkpoint), str(lane)], tmp_path / "in", tmp_path / "out")
    with pytest.raises(UserError, match=r"checkpoint: .*best\.ckpt is given twice"):
        predict([str(checkpoint), str(checkpoint)], tmp_path / "in", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def test_the_mask_shows_the_class_colours(tmp_path: Path) -> None:
    classes = [{"name": f"c{i}", "colour": [i * 20, 200 - i, i]} for i in range(5)]
    write_rgb(tmp_path / "a.png", noise(40, 80))
    predict(write_checkpoint(tmp_path / "five.ckpt", classes), tmp_path / "a.png", tmp_path / "out")
    mask = Image.open(tmp_path / "out" / "mask" / "a.png")
    values, colours = np.array(mask), np.array(mask.convert("RGB"))
    assert values.max() <= 4
    expected = np.array([c["colour"] for c in classes])[values]
    assert np.array_equal(colours, expected)


def test_the_areas_of_classes_are_in_the_result(tmp_path: Path) -> None:
    names = ["c0", "c1", "c2"]
    checkpoint = write_checkpoint(tmp_path / "c.ckpt", [{"name": name, "colour": None} for name in names])
    for height in (30, 40):
        write_rgb(tmp_path / "in" / f"{height}.png", noise(height, 50))
    areas = predict(checkpoint, tmp_path / "in", tmp_path / "out", format="mask")["areas"]
    assert list(areas["pictures"]) == ["30", "40"]
    for name, shares in areas["pictures"].items():
        mask = np.array(Image.open(tmp_path / "out" / "mask" / f"{name}.png"))
        counted = {names[value]: (mask == value).mean() for value in np.unique(mask)}
        assert shares == pytest.approx(counted, abs=1e-6)
    for name, share in areas["mean"].items():
        assert share == pytest.approx(sum(one.get(name, 0) for one in areas["pictures"].values()) / 2, abs=1e-6)
    assert sum(areas["mean"].values()) == pytest.approx(1, abs=1e-5)


def test_how_classes_are_painted(tmp_path: Path) -> None:
    classes = [{"name": f"c{i}", "colour": [i * 20, 200 - i, i]} for i in range(5)]
    write_rgb(tmp_path / "a.png", noise(40, 60))
    checkpoint = write_checkpoint(tmp_path / "five.ckpt", classes)

    def overlay(**paint: Any) -> np.ndarray:
        predict(checkpoint, tmp_path / "a.png", tmp_path / "out", paint=PAINT | paint)
        return cv2.imread(str(tmp_path / "out" / "overlay" / "a.png"), cv2.IMREAD_COLOR_RGB)

    shown = overlay()
    assert shown.shape[1] > 60
    bare = overlay(legend=False, outlines=False, alpha=1.0)
    assert bare.shape == (40, 60, 3)
    mask = Image.open(tmp_path / "out" / "mask" / "a.png")
    assert np.array_equal(bare, np.array(mask.convert("RGB")))
    other = overlay(legend=False, outlines=False, alpha=1.0, colours="colour_blind")
    other_mask = Image.open(tmp_path / "out" / "mask" / "a.png")
    assert np.array_equal(other, np.array(other_mask.convert("RGB")))
    assert np.array_equal(np.array(mask), np.array(other_mask))  # classes are what they were
    assert np.array_equal(other, np.array(ELEVEN, np.uint8)[np.array(mask)])
    with pytest.raises(UserError, match=r"^paint\.alpha=1\.5: should be less than or equal to 1"):
        overlay(alpha=1.5)
    with pytest.raises(UserError, match=r"^paint\.colours=green: should be .*own.*colour_blind"):
        overlay(colours="green")


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


def test_every_format_at_once(checkpoint: Path, scenes: Path, tmp_path: Path) -> None:
    formats = ["overlay", "mask", "confidence", "bev", "submission"]
    result = predict(checkpoint, scenes / "testing" / "image_2", tmp_path, scenes, format=formats)
    assert result["format"] == formats
    assert result["pictures"] == 3
    assert result["written"] == dict.fromkeys([*formats, "road"], 3)
    assert result["without_calibration"] == []
    names = ["um_000000", "umm_000000", "uu_000000"]
    for kind in ("overlay", "mask", "confidence", "bev"):
        assert sorted(path.name for path in (tmp_path / kind).iterdir()) == [f"{name}.png" for name in names]
    assert list(json.loads((tmp_path / "road.json").read_text())["pictures"]) == names
    # The server's maps are the confidence maps from above.
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        assert archive.namelist() == ["um_road_000000.png", "umm_road_000000.png", "uu_road_000000.png"]
        for name, held in zip(names, archive.namelist(), strict=True):
            values = cv2.imdecode(np.frombuffer(archive.read(held), np.uint8), cv2.IMREAD_UNCHANGED)
            confidence = cv2.imread(str(tmp_path / "confidence" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
            calibration = Calibration.from_file(scenes / "testing" / "calib" / f"{name}.txt")
            assert values.dtype == np.uint8
            assert np.array_equal(values, BirdsEyeView().warp(confidence, calibration))
            assert len(np.unique(values)) > 2


def test_a_single_format_may_be_a_word(checkpoint: Path, scenes: Path, tmp_path: Path) -> None:
    pictures = scenes / "testing" / "image_2"
    assert predict(checkpoint, pictures, tmp_path, format="bev")["format"] == ["bev"]
    predict(checkpoint, pictures, tmp_path / "zip", scenes, format="submission")
    made = {path.name for path in (tmp_path / "zip").iterdir()}
    assert made == {".lock", ".files.json", "result.json", "road.json", "submission.zip"}


@pytest.mark.parametrize("value", [[], ["overlay", "overlay"], ["overlay", "movie"], "movie", None, 3, [["bev"]]])
def test_wrong_formats(value: object, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^format=.*should be one or more of overlay, mask, confidence, bev, video, sheet, sub"
    ):
        predict(checkpoint, tmp_path, tmp_path / "out", format=value)


def test_few_keys_are_about_data(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^data\.rot: no such setting; did you mean data\.root\?$"):
        predict(checkpoint, tmp_path, tmp_path / "out", data={"root": "a", "rot": "b", "max_megapixels": 50})
    with pytest.raises(UserError, match=r"^data\.root is missing"):
        predict(checkpoint, tmp_path, tmp_path / "out", data={"max_megapixels": 50})


def test_the_lane_goes_into_um_maps(scenes: Path, tmp_path: Path) -> None:
    lane = write_checkpoint(tmp_path / "lane.ckpt", [ROAD[0], {"name": "lane", "colour": [0, 255, 0]}])
    pictures = scenes / "testing" / "image_2"
    predict(lane, pictures / "um_*.png", tmp_path / "out", scenes, format="submission")
    with zipfile.ZipFile(tmp_path / "out" / "submission.zip") as archive:
        assert archive.namelist() == ["um_lane_000000.png"]
    with pytest.raises(UserError, match="2 of the pictures in input= are no test pictures for the lane"):
        predict(lane, pictures, tmp_path / "more", scenes, format="submission")


def test_a_submission_is_checked_before_the_first_picture(checkpoint: Path, scenes: Path, tmp_path: Path) -> None:
    pictures = scenes / "testing" / "image_2"
    formats = ["overlay", "submission"]
    with pytest.raises(UserError, match=r"2 of the 3 test pictures .*: umm_000000\.png, uu_000000\.png"):
        predict(checkpoint, pictures / "um_000000.png", tmp_path / "out", scenes, format=formats)
    sky = write_checkpoint(tmp_path / "sky.ckpt", [{"name": n, "colour": None} for n in ("sky", "car", "tree")])
    with pytest.raises(UserError, match=r"none of this network's classes is named road or lane \(sky, car, tree\)"):
        predict(sky, pictures, tmp_path / "out", scenes, format=formats)
    with pytest.raises(UserError, match=r"data\.root=nowhere: does not exist"):
        predict(checkpoint, pictures, tmp_path / "out", "nowhere", format=formats)
    root = tmp_path / "root"
    shutil.copytree(scenes, root)
    (root / "testing" / "calib" / "uu_000000.txt").unlink()
    with pytest.raises(UserError, match=r"1 test pictures have no calibration in .*: uu_000000\.png"):
        predict(checkpoint, root / "testing" / "image_2", tmp_path / "out", root, format=formats)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def test_no_zip_without_every_test_picture(
    checkpoint: Path, scenes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "root"
    shutil.copytree(scenes, root)
    cut = root / "testing" / "image_2" / "umm_000000.png"
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(SystemExit) as end:
        predict(checkpoint, cut.parent, tmp_path / "out", root, format=["mask", "submission"])
    assert end.value.code == 1
    assert any("submission.zip was not written" in message for message in caplog.messages)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert list(result["unreadable"]) == [str(cut)]
    assert result["written"] == {"mask": 2, "road": 2}
    assert sorted(path.name for path in (tmp_path / "out" / "mask").iterdir()) == ["um_000000.png", "uu_000000.png"]
    assert not (tmp_path / "out" / "submission.zip").exists()


def test_a_wrong_calibration_is_told_before_the_first_picture(checkpoint: Path, scenes: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(scenes, root)
    wrong = root / "testing" / "calib" / "uu_000000.txt"
    wrong.write_text(wrong.read_text().replace("Tr_cam_to_road", "Tr_cam_to_rod"))
    with pytest.raises(UserError, match=r"calib/uu_000000\.txt: has no Tr_cam_to_road"):
        predict(checkpoint, root / "testing" / "image_2", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def test_calibrations_from_a_folder(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_rgb(tmp_path / "in" / f"{name}.jpg", noise(38, 124))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text(level_camera(72, (62, 19), 1.65).text())
    folder = str(tmp_path / "mine")
    with pytest.raises(UserError, match=r"calibration=.*mine: 1 of 2 files are missing: b\.txt"):
        predict(checkpoint, tmp_path / "in", tmp_path / "out", calibration=folder)
    with pytest.raises(UserError, match=r"calibration=nowhere: no such folder"):
        predict(checkpoint, tmp_path / "in", tmp_path / "out", calibration="nowhere")
    assert predict(checkpoint, tmp_path / "in" / "a.jpg", tmp_path / "out", calibration=folder)["written"]["road"] == 1
    assert list(json.loads((tmp_path / "out" / "road.json").read_text())["pictures"]) == ["a"]


def test_calibrations_beside_the_pictures_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("image_2/a.png", "image_2/b.png", "calib/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    expected = [tmp_path / "calib" / "a.txt", None]
    pictures = [tmp_path / "image_2" / "a.png", tmp_path / "image_2" / "b.png"]
    assert find_calibrations(pictures, None) == expected
    monkeypatch.chdir(tmp_path / "image_2")
    assert find_calibrations([Path("a.png"), Path("b.png")], None) == expected
    (tmp_path / "image_2" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "image_2" / "deep")
    assert find_calibrations([Path("../a.png"), Path("../b.png")], None) == expected
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_calibrations(pictures[:1], "~/calib") == expected[:1]


def test_real_pictures_with_their_calibrations(checkpoint: Path, tmp_path: Path, shared_data: Path) -> None:
    pictures = shared_data / "kitti_road" / "testing" / "image_2" / "uu_00009[0-2].png"
    result = predict(checkpoint, pictures, tmp_path, format=["overlay", "bev"])
    names = ["uu_000090", "uu_000091", "uu_000092"]
    assert result["written"] == {"overlay": 3, "bev": 3, "road": 3}
    free = json.loads((tmp_path / "road.json").read_text())["pictures"]
    assert list(free) == names
    for name in names:
        image = cv2.imread(str(tmp_path / "bev" / f"{name}.png"))
        assert image.shape == (800, 400, 3)
        assert image.any()


def test_real_test_pictures_are_no_whole_set(checkpoint: Path, tmp_path: Path, shared_data: Path) -> None:
    root = shared_data / "kitti_road"
    with pytest.raises(UserError, match=r"umm_000000\.png is missing"):
        predict(checkpoint, root / "testing" / "image_2", tmp_path, root, format="submission")


def test_what_a_run_before_left_is_not_taken_for_this_ones(checkpoint: Path, scenes: Path, tmp_path: Path) -> None:
    pictures = scenes / "testing" / "image_2"
    predict(checkpoint, pictures, tmp_path / "out", scenes, format=["overlay", "submission"])
    assert {"submission.zip", "road.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    write_rgb(tmp_path / "in" / "um_000000.png", noise(30, 50))
    predict(checkpoint, tmp_path / "in", tmp_path / "out")
    assert not {"submission.zip", "road.json"} & {path.name for path in (tmp_path / "out").iterdir()}
    assert cv2.imread(str(tmp_path / "out" / "overlay" / "um_000000.png")).shape[:2] == (30, 50)


def test_files_of_another_network_are_replaced_with_a_line(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_rgb(tmp_path / "in" / "a.png", noise(30, 50))
    shutil.copy(checkpoint, tmp_path / "other.ckpt")
    for place in (checkpoint, checkpoint, tmp_path / "other.ckpt"):
        assert "are replaced" not in caplog.text
        predict(place, tmp_path / "in", tmp_path / "out", format=["overlay", "mask"])
    assert f"output={tmp_path / 'out'}: 2 files of checkpoint=[{checkpoint}] are replaced" in caplog.text


@pytest.mark.parametrize("name", ["overlay/a.png", "road.json", "submission.zip", "notes.txt"])
def test_files_of_others_are_neither_replaced_nor_removed(checkpoint: Path, tmp_path: Path, name: str) -> None:
    """Those that are in the way are named; ``road.json`` of a run without calibrations is not."""
    write_rgb(tmp_path / "in" / "a.png", noise(30, 50))
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    if name == "overlay/a.png":
        with pytest.raises(UserError, match=r"overlay/a\.png is there, and not known to be segkit's"):
            predict(checkpoint, tmp_path / "in", tmp_path / "out")
        assert not (tmp_path / "out" / "mask").exists()
    else:
        predict(checkpoint, tmp_path / "in", tmp_path / "out")
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("name", ["overlay", "mask/a.png"])
def test_links_in_the_output_are_refused_before_anything_is_written(
    checkpoint: Path, tmp_path: Path, name: str
) -> None:
    write_rgb(tmp_path / "in" / "a.png", noise(30, 50))
    write_rgb(tmp_path / "elsewhere" / "b.png", noise(30, 50))
    link = tmp_path / "out" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere" / "b.png" if name.endswith("png") else tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link, or lies behind one"):
        predict(checkpoint, tmp_path / "in", tmp_path / "out")
    link.unlink()
    link.symlink_to(tmp_path / "in" / "a.png" if name.endswith("png") else tmp_path / "in")
    with pytest.raises(UserError, match="lie in it and could be overwritten"):
        predict(checkpoint, tmp_path / "in", tmp_path / "out")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.png"]
    assert np.array_equal(cv2.imread(str(tmp_path / "in" / "a.png"))[..., ::-1], noise(30, 50))
    assert not (tmp_path / "out" / "confidence").exists()


def test_the_submission_is_of_the_runs_own_data_unless_given(checkpoint: Path, scenes: Path, tmp_path: Path) -> None:
    own = tmp_path / "run" / "checkpoints" / "best.ckpt"
    own.parent.mkdir(parents=True)
    shutil.copy(checkpoint, own)
    (tmp_path / "run" / ".hydra").mkdir()
    (tmp_path / "run" / ".hydra" / "hydra.yaml").write_text("job: {name: train}")
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text("[]")
    (tmp_path / "run" / ".hydra" / "config.yaml").write_text(f"{{data: {{root: {scenes}}}, trainer: {{}}}}")
    pictures = scenes / "testing" / "image_2"
    predict(tmp_path / "run", pictures, tmp_path / "own", None, format="submission")
    assert (tmp_path / "own" / "submission.zip").exists()
    with pytest.raises(UserError, match=r"data\.root=nowhere: does not exist"):
        predict(tmp_path / "run", pictures, tmp_path / "given", "nowhere", format="submission")
