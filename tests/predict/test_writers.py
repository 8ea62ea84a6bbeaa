"""Predictions on disk, with a made-up network whose road is known in metres."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from segkit.data.images import decode_image
from segkit.data.overlay import Painter
from segkit.data.records import SegmentationClass
from segkit.data.writer import Prediction, Writer
from segkit.errors import UserError
from segkit.predict.predictor import Segmenter
from segkit.predict.sheet import LARGEST, Sheet
from segkit.predict.writers import Painted, paint_pictures, writers_of
from segkit.road import BirdsEyeView, Calibration
from segkit.road.writers import road_class, road_writers
from tests.fixtures import level_camera, write_rgb

SIZE = (375, 1242)
CALIBRATION = level_camera(720, (SIZE[1] / 2, SIZE[0] / 2), 1.65)
VIEW = BirdsEyeView()
GREEN, BLUE = (0, 255, 0), (0, 0, 255)
BACKGROUND, ROAD = SegmentationClass("background", None), SegmentationClass("road", GREEN)


class KnownRoad(Segmenter):
    """Stands in for the predictor: the road is 6 m wide, to both sides alike, and ends 30 m ahead."""

    def __init__(self, class_list: Sequence[SegmentationClass] = (BACKGROUND, ROAD), road: int = 1) -> None:
        self.class_list, self.road = class_list, road

    def views(self, picture: np.ndarray) -> list[np.ndarray]:
        return [picture]

    def probabilities_at(self, views: list[np.ndarray], size: tuple[int, int]) -> torch.Tensor:
        x, z = VIEW.to_metres(np.arange(800)[:, None], np.arange(400))
        from_above = ((np.abs(x) < 3) & (z < 30)).astype(np.uint8)
        road = torch.from_numpy(VIEW.unwarp(from_above, CALIBRATION, size))
        of_road = torch.where(road == 1, 0.6, 0.25)
        others = len(self.class_list) - 1
        result = ((1 - of_road) / others).expand(others + 1, *road.shape).clone()
        result[self.road] = of_road
        return result


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "in" / f"{name}.png" for name in ("a", "b", "c")]
    for seed, path in enumerate(paths):
        write_rgb(path, np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8))
    return paths


def painted(predictor: Any, pictures: dict[Path, Calibration | None], folder: Path, *formats: str) -> Painted:
    formats = formats or ("overlay", "mask", "confidence")
    own = road_writers(formats, predictor.class_list, pictures)
    return paint_pictures(predictor, list(pictures), folder, writers_of(formats, own))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_only_what_is_asked_for_is_written(pictures: list[Path], tmp_path: Path) -> None:
    bare = dict.fromkeys(pictures)
    done = painted(KnownRoad(), bare, tmp_path / "all")
    assert files(tmp_path / "all") == [
        f"{kind}/{n}.png" for kind in ("confidence", "mask", "overlay") for n in ("a", "b", "c")
    ]
    assert done.written == {"overlay": 3, "mask": 3, "confidence": 3}
    painted(KnownRoad(), bare, tmp_path / "one", "confidence")
    assert files(tmp_path / "one") == ["confidence/a.png", "confidence/b.png", "confidence/c.png"]
    assert painted(KnownRoad(), {pictures[0]: CALIBRATION}, tmp_path / "two", "bev").written == {
        "bev": 1,
        "road": 1,
    }
    assert files(tmp_path / "two") == ["bev/a.png", "road.json"]


def test_a_sheet_holds_every_picture_by_its_name_in_its_own_form(pictures: list[Path], tmp_path: Path) -> None:
    write_rgb(pictures[0].with_name("d.png"), np.full((620, 310, 3), 90, np.uint8))
    shown = [pictures[2], pictures[0].with_name("d.png"), pictures[0], pictures[1]]
    pictures[1].write_bytes(b"")
    (tmp_path / "out").mkdir()
    done = painted(KnownRoad(), dict.fromkeys(shown), tmp_path / "out", "sheet")
    assert files(tmp_path / "out") == ["sheet.jpg"]
    assert done.written == {"sheet": 3}
    sheet = decode_image(tmp_path / "out" / "sheet.jpg").astype(int)
    # a, c and d: two of 375 × 1242 in a cell of 620, and one twice as high as wide; what is left over is black.
    assert sheet.shape == (1240, 3 * 620, 3)
    assert sheet[200:, :1230].max() < 40
    known = KnownRoad()
    road = known.decide(known.probabilities_at(np.zeros(0), (620, 310)))[0].numpy() == 1
    (row, column) = (int(x) for x in np.argwhere(road).mean(0))
    np.testing.assert_allclose(sheet[2 * row, 1240 + 2 * column], (45, 172, 45), atol=12)
    np.testing.assert_allclose(sheet[1000, 1250], (90, 90, 90), atol=12)


def test_a_sheet_of_several_classes_has_one_legend(pictures: list[Path], tmp_path: Path) -> None:
    sky = [SegmentationClass("sky", BLUE), SegmentationClass("road", GREEN), BACKGROUND]
    (tmp_path / "out").mkdir()
    painted(KnownRoad(sky), dict.fromkeys(pictures), tmp_path / "out", "sheet")
    sheet = decode_image(tmp_path / "out" / "sheet.jpg").astype(int)
    assert sheet.shape == (187 + 24, 3 * 620, 3)
    assert np.abs(sheet[199, 12] - BLUE).max() < 30  # of which there is more


def test_overlays_have_the_legend_of_their_classes_in_one_order(pictures: list[Path], tmp_path: Path) -> None:
    sky = [SegmentationClass("sky", BLUE), SegmentationClass("road", GREEN), BACKGROUND]
    done = painted(KnownRoad(sky), dict.fromkeys(pictures), tmp_path, "overlay", "mask")
    painter = Painter(sky)
    for path in pictures:
        classes = cv2.imread(str(tmp_path / "mask" / path.name), cv2.IMREAD_COLOR_RGB)[..., 1] // 255
        areas = painter.areas(classes)
        assert [area.number for area in areas] == [0, 1]
        assert done.areas[path.stem] == areas
        shown = painter.with_legend(painter.paint(decode_image(path), classes), areas)
        assert np.array_equal(decode_image(tmp_path / "overlay" / path.name), shown)
    assert painted(KnownRoad(sky), {pictures[0]: CALIBRATION}, tmp_path / "drawn", "overlay").areas == {"a": areas}
    assert decode_image(tmp_path / "drawn" / "overlay" / "a.png").shape == shown.shape


def test_a_sheet_of_many_pictures_gets_more_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sheet(count: int) -> np.ndarray:
        writer = Sheet()
        image, grey = np.full((100, 310, 3), 90, np.uint8), np.zeros((100, 310), np.uint8)
        for number in range(count):
            writer.encode(Prediction(Path(f"{number}.png"), image, grey, grey, {}, Painter((BACKGROUND, ROAD))))
        assert writer.finish(tmp_path, True) == count
        return decode_image(tmp_path / "sheet.jpg")

    encoded = [cv2.imencode(".jpg", np.zeros((side, 1, 3), np.uint8))[0] for side in (LARGEST, LARGEST + 1)]
    assert encoded == [True, False]
    monkeypatch.setattr("segkit.predict.sheet.LARGEST", 6 * 620)
    assert sheet(3 * 18).shape[:2] == (18 * 200, 3 * 620)
    assert sheet(3 * 18 + 1).shape[:2] == (10 * 200, 6 * 620)
    with pytest.raises(UserError, match="format=sheet: 109 pictures"):
        sheet(6 * 18 + 1)


def test_each_picture_is_told_here_and_in_order_readable_or_not(pictures: list[Path], tmp_path: Path) -> None:
    pictures[1].write_bytes(b"")
    told: list[tuple[Path, bool]] = []
    here = threading.get_ident()
    predictor: Any = KnownRoad()
    done = paint_pictures(
        predictor,
        pictures,
        tmp_path / "out",
        writers_of(["mask"]),
        on_done=lambda path: told.append((path, threading.get_ident() == here)),
    )
    assert told == [(path, True) for path in pictures]
    assert list(done.unreadable) == [str(pictures[1])]
    assert files(tmp_path / "out") == ["mask/a.png", "mask/c.png"]
    seconds = done.seconds
    assert 0 < max(seconds.reading, seconds.network, seconds.writing) <= seconds.wall


def test_what_cannot_be_written_ends_it_with_its_own_message(pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out" / "mask" / "b.png").mkdir(parents=True)  # in the way of the file
    with pytest.raises(IsADirectoryError, match=r"b\.png"):
        painted(KnownRoad(), dict.fromkeys(pictures), tmp_path / "out", "mask")


def test_the_free_road_in_metres(pictures: list[Path], tmp_path: Path) -> None:
    first, second, third = pictures
    third.write_bytes(b"")
    done = painted(KnownRoad(), {first: CALIBRATION, second: None, third: CALIBRATION}, tmp_path)
    road = json.loads((tmp_path / "road.json").read_text())
    assert list(road) == ["segkit", "pictures", "without_calibration"]
    assert list(road["pictures"]) == ["a"]
    assert road["without_calibration"] == ["b"]
    assert list(done.unreadable) == [str(third)]
    assert done.written == {"overlay": 2, "mask": 2, "confidence": 2, "road": 1}
    # A pixel is 0.06 m wide and 0.8 m long at 30 m.
    free = road["pictures"]["a"]
    assert free["free_ahead_m"] == pytest.approx(30, abs=0.8)
    assert free["width_m"]["10"] == pytest.approx(6, abs=0.1)
    assert free["width_m"]["20"] == pytest.approx(6, abs=0.1)
    assert free["width_m"]["40"] is None
    assert free["free_area_m2"] == pytest.approx(6 * 23.7, rel=0.05)  # the picture shows the road from 6.3 m on


def test_the_free_road_is_drawn_on_overlays_with_calibration_alone(pictures: list[Path], tmp_path: Path) -> None:
    painted(KnownRoad(), {pictures[0]: None}, tmp_path / "bare")
    painted(KnownRoad(), {pictures[0]: CALIBRATION}, tmp_path / "drawn")
    image = decode_image(pictures[0])
    classes = cv2.imread(str(tmp_path / "bare" / "confidence" / "a.png"), cv2.IMREAD_UNCHANGED) > 127
    assert 0.05 < classes.mean() < 0.5
    expected = Painter((BACKGROUND, ROAD)).paint(image, classes.astype(np.uint8))
    assert np.array_equal(decode_image(tmp_path / "bare" / "overlay" / "a.png"), expected)
    assert not np.array_equal(decode_image(tmp_path / "drawn" / "overlay" / "a.png"), expected)
    for kind in ("mask", "confidence"):
        name = f"{kind}/a.png"
        assert (tmp_path / "bare" / name).read_bytes() == (tmp_path / "drawn" / name).read_bytes()


def test_the_birds_eye_picture_is_the_overlay_from_above(pictures: list[Path], tmp_path: Path) -> None:
    # Nothing is drawn where no class is the road, so that the picture can be held against the overlay.
    sky = [SegmentationClass("sky", BLUE), SegmentationClass("car", GREEN), BACKGROUND]
    painted(KnownRoad(sky), {pictures[0]: CALIBRATION}, tmp_path / "plain", "overlay", "bev")
    # The legend below the overlay is no part of it.
    overlay = decode_image(tmp_path / "plain" / "overlay" / "a.png")[: SIZE[0]]
    plain = decode_image(tmp_path / "plain" / "bev" / "a.png")
    assert plain.shape == (800, 400, 3)
    assert np.array_equal(plain, VIEW.warp(overlay, CALIBRATION))
    road = [SegmentationClass("sky", BLUE), SegmentationClass("road", GREEN), BACKGROUND]
    painted(KnownRoad(road), {pictures[0]: CALIBRATION}, tmp_path / "drawn", "bev")
    drawn = decode_image(tmp_path / "drawn" / "bev" / "a.png")
    assert drawn.shape == plain.shape
    share = (drawn != plain).any(-1).mean()
    assert 0 < share < 0.5


def test_a_picture_without_calibration_is_said_and_not_guessed(
    pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bare = dict.fromkeys(pictures)
    painted(KnownRoad(), bare, tmp_path / "unasked", "overlay")
    assert caplog.messages == []
    done = painted(KnownRoad(), bare, tmp_path / "none", "bev")
    assert files(tmp_path / "none") == ["road.json"]
    road = json.loads((tmp_path / "none" / "road.json").read_text())
    assert (road["pictures"], road["without_calibration"]) == ({}, ["a", "b", "c"])
    assert done.written == {"road": 0}
    painted(KnownRoad(), bare | {pictures[0]: CALIBRATION}, tmp_path / "some", "bev")
    assert files(tmp_path / "some") == ["bev/a.png", "road.json"]
    text = "without calibration, so no bird's-eye view, no metres: "
    assert caplog.messages == [text + "a, b, c", text + "b, c"]


def test_a_network_without_road_gives_no_metres_and_says_so_once(
    pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sky = [SegmentationClass(name, BLUE) for name in ("sky", "car", "tree")]
    painted(KnownRoad(sky), dict.fromkeys(pictures, CALIBRATION), tmp_path / "out", "overlay", "bev")
    assert caplog.messages == ["none of this network's classes is named road or lane: no metres"]
    assert {name.split("/")[0] for name in files(tmp_path / "out")} == {"overlay", "bev"}


@pytest.mark.parametrize(
    ("names", "road"),
    [
        (["background", "road"], 1),
        (["road", "background"], 0),
        (["background", "lane"], 1),
        (["nothing", "something"], 1),
        (["sky", "car", "road"], 2),
        (["sky", "lane", "road"], 2),
        (["sky", "lane", "car"], 1),
        (["sky", "car", "tree"], None),
        (["sky"], None),
    ],
)
def test_which_class_is_the_road(names: list[str], road: int | None) -> None:
    assert road_class([SegmentationClass(name, None) for name in names]) == road


def test_metres_are_of_the_class_named_road(pictures: list[Path], tmp_path: Path) -> None:
    names = ["sky", "car", "road"]
    classes = [SegmentationClass(name, None) for name in names]
    for index, name in enumerate(names):
        painted(KnownRoad(classes, index), {pictures[0]: CALIBRATION}, tmp_path / name)
    ahead = {
        name: json.loads((tmp_path / name / "road.json").read_text())["pictures"]["a"]["free_ahead_m"] for name in names
    }
    assert ahead["road"] == pytest.approx(30, abs=0.8)
    assert (ahead["sky"], ahead["car"]) == (0, 0)


def test_a_writer_is_given_the_probability_of_the_class_that_it_asks_for(pictures: list[Path], tmp_path: Path) -> None:
    given: dict[Path, np.ndarray] = {}

    class Recorder(Writer):
        name, per_picture, needs = "recorder", False, 2

        def encode(self, prediction: Prediction) -> None:
            given[prediction.path] = prediction.confidence_of[2]

    sky = [SegmentationClass(name, BLUE) for name in ("sky", "car", "road")]
    predictor: Any = KnownRoad(sky, 2)
    paint_pictures(predictor, pictures, tmp_path / "out", [*writers_of(["confidence"]), Recorder()])
    assert set(given) == set(pictures)
    confidence = given[pictures[0]]
    assert (confidence.dtype, confidence.shape) == (np.uint8, SIZE)
    # 0.6 and 0.25 of 255. The map for people is of the class that was chosen: 0.6, or 0.375 for each of the others.
    assert set(np.unique(confidence)) == {153, 64}
    chosen = cv2.imread(str(tmp_path / "out" / "confidence" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(chosen)) == {153, 96}
    assert files(tmp_path / "out") == ["confidence/a.png", "confidence/b.png", "confidence/c.png"]
