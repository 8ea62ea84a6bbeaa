from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segkit.data.images import PngHeader, png_header
from segkit.data.records import Record
from segkit.errors import UserError
from segkit.road.dataset import KittiRoadDataModule
from segkit.road.saved_maps import SavedMaps

PERSPECTIVE, BEV, BOTH = ("perspective",), ("bev",), ("perspective", "bev")


@pytest.fixture
def records(kitti_root: Path) -> list[Record]:
    return KittiRoadDataModule(kitti_root, [32, 64], 1, split="none").records("train")


@pytest.fixture
def folder(tmp_path: Path, records: list[Record]) -> Path:
    """A right map for each of the 18 records, noise of its picture's size."""
    target = tmp_path / "maps"
    target.mkdir()
    rng = np.random.default_rng(0)
    for record in records:
        height, width = cv2.imread(str(record.image)).shape[:2]
        category, number = record.name.split("_")
        cv2.imwrite(str(target / f"{category}_road_{number}.png"), rng.integers(0, 256, (height, width), np.uint8))
    return target


def report(folder: Path, records: list[Record], views: tuple[str, ...] = BOTH) -> list[str]:
    with pytest.raises(UserError) as caught:
        SavedMaps(folder, "road").check(records, views)
    return str(caught.value).split("\n")


def test_maps_of_the_right_name_size_and_kind_pass_and_are_read_as_they_are(folder, records):
    maps = SavedMaps(folder, "road")
    for views in (PERSPECTIVE, BEV, BOTH):
        maps.check(records, views)
    record = next(record for record in records if record.name == "umm_000001")
    values = maps.read(record)
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(values, cv2.imread(str(folder / "umm_road_000001.png"), cv2.IMREAD_UNCHANGED))
    assert values.shape == (41, 119)


def test_lane_maps_have_lane_in_their_name(folder, records):
    (folder / "um_road_000003.png").rename(folder / "um_lane_000003.png")
    only = [record for record in records if record.name == "um_000003"]
    SavedMaps(folder, "lane").check(only, PERSPECTIVE)
    assert "um_road_000003.png" in report(folder, only)[-1]


def test_missing_maps_are_counted_and_five_are_named(folder, records):
    for path in folder.glob("um_*"):
        path.unlink()
    (folder / "uu_road_000002.png").unlink()
    assert report(folder, records) == [
        f"predictions={folder} cannot be scored as it is.",
        "  found 11 PNG files, umm_road_000000.png the first",
        "missing maps: 7",
        *(f"  um_road_{number:06d}.png" for number in range(5)),
        "  and 2 more",
    ]


def test_an_empty_folder(tmp_path, records):
    (tmp_path / "empty").mkdir()
    assert report(tmp_path / "empty", records)[1:3] == ["  found no PNG files", "missing maps: 18"]


def test_maps_named_as_their_pictures_are_taken_where_there_are_no_others(folder, records):
    (folder / "um_road_000003.png").rename(folder / "um_000003.png")
    cv2.imwrite(str(folder / "um_000004.png"), np.zeros((2, 2), np.uint8))  # um_road_000004.png is there too
    SavedMaps(folder, "road").check(records, PERSPECTIVE)


def test_wrong_sizes_say_which_is_wanted(folder, records):
    cv2.imwrite(str(folder / "um_road_000000.png"), np.zeros((41, 119), np.uint8))
    wrong = "um_road_000000.png is 119×41; wanted is 120×40 (width×height) as um_000000.png"
    assert report(folder, records)[2:] == ["maps of a wrong size: 1", f"  {wrong}"]
    assert report(folder, records, BEV)[3] == f"  {wrong} or, in bird's-eye view, 400×800"


def test_maps_from_above_are_for_the_view_from_above(folder, records):
    cv2.imwrite(str(folder / "uu_road_000001.png"), np.zeros((800, 400), np.uint8))
    SavedMaps(folder, "road").check(records, BEV)
    for views in (PERSPECTIVE, BOTH):
        heading, line = report(folder, records, views)[2:]
        assert "view=bev" in heading
        assert line == "  uu_road_000001.png is 400×800 (width×height), uu_000001.png is 119×41"
    cv2.imwrite(str(folder / "uu_road_000001.png"), np.zeros((400, 800), np.uint8))
    assert "uu_road_000001.png is 800×400" in report(folder, records, BEV)[3]


def test_every_other_format_is_named(folder, records):
    grey = np.zeros((40, 120), np.uint8)
    Image.fromarray(grey.astype(np.uint16)).save(folder / "um_road_000000.png")
    Image.fromarray(np.dstack([grey] * 3)).save(folder / "umm_road_000000.png")
    Image.fromarray(np.dstack([grey] * 4)).save(folder / "umm_road_000003.png")
    Image.fromarray(np.dstack([grey] * 2)).save(folder / "uu_road_000000.png")
    Image.fromarray(grey).convert("P").save(folder / "uu_road_000003.png")
    (folder / "um_road_000003.png").write_bytes(cv2.imencode(".jpg", grey)[1].tobytes())
    (folder / "um_road_000005.png").write_bytes((folder / "um_road_000004.png").read_bytes()[:20])
    (folder / "um_road_000004.png").write_bytes(b"")
    assert report(folder, records)[2:] == [
        "maps that are not 8-bit grey: 5",
        "  um_road_000000.png is 16-bit grey",
        "  umm_road_000000.png is 8-bit RGB",
        "  umm_road_000003.png is 8-bit RGB with alpha",
        "  uu_road_000000.png is 8-bit grey with alpha",
        "  uu_road_000003.png is 8-bit palette",
        "files that cannot be decoded: 3",
        "  um_road_000003.png is no PNG",
        "  um_road_000004.png is no PNG",
        "  um_road_000005.png has a damaged header",
    ]


def test_a_truncated_map_is_an_error_when_it_is_read(folder, records):
    maps = SavedMaps(folder, "road")
    path = maps.path(records[0])
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    maps.check(records, BOTH)
    with pytest.raises(UserError, match=f"{path.name} is truncated"):
        maps.read(records[0])


def test_a_header_is_read_without_the_rest(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((7, 260, 3), np.uint8)).save(path)
    assert png_header(path) == PngHeader(width=260, height=7, depth=8, colour_type=2)
    whole = path.read_bytes()
    path.write_bytes(whole[:33])
    assert png_header(path).width == 260
    for damaged in (whole[:32], whole[:18] + b"\x02" + whole[19:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged header"):
            png_header(path)
    with pytest.raises(UserError, match=r"nowhere\.png cannot be read"):
        png_header(tmp_path / "nowhere.png")


def test_the_real_labels_headers(shared_data):
    header = png_header(shared_data / "kitti_road/training/gt_image_2/um_road_000000.png")
    assert header == PngHeader(1242, 375, 8, 2)


def test_a_colour_that_counts_as_transparent_changes_no_value(folder, records):
    maps = SavedMaps(folder, "road")
    values = maps.read(records[0])
    Image.fromarray(values).save(maps.path(records[0]), transparency=int(values[0, 0]))
    maps.check(records, BOTH)
    np.testing.assert_array_equal(maps.read(records[0]), values)
