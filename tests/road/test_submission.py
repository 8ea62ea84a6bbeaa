"""KITTI's submission: what belongs into the zip, what is refused, and the maps in it against hand-computed cells."""

import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.data.overlay import Painter
from segkit.data.records import SegmentationClass
from segkit.data.writer import Prediction
from segkit.errors import UserError
from segkit.road import Calibration
from segkit.road.layout import PUBLISHED
from segkit.road.submission import Submission, check_zip
from tests.fixtures import level_camera

WIDTH, HEIGHT, FOCAL, CAMERA = 124, 38, 72.0, 1.65


ROAD, LANE = ([SegmentationClass("background", None), SegmentationClass(name, None)] for name in ("road", "lane"))
LEVEL = level_camera(FOCAL, (WIDTH / 2, HEIGHT / 2), CAMERA)


def make_root(root: Path, um: int = 1, umm: int = 1, uu: int = 1) -> Path:
    """A data root whose test pictures are empty files: a submission looks at their names alone."""
    folder = root / "testing" / "image_2"
    folder.mkdir(parents=True)
    for category, count in {"um": um, "umm": umm, "uu": uu}.items():
        for number in range(count):
            (folder / f"{category}_{number:06d}.png").touch()
    return root


def pictures_of(root: Path, pattern: str = "*.png") -> dict[Path, Calibration | None]:
    return dict.fromkeys(sorted((root / "testing" / "image_2").glob(pattern)), LEVEL)


def add(submission: Submission, path: Path, confidence: np.ndarray) -> None:
    submission.encode(Prediction(path, confidence, confidence, confidence, {1: confidence}, Painter(ROAD)))


def maps_of(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        return {
            name: cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
            for name in archive.namelist()
        }


def test_the_zip_holds_one_map_per_test_picture_and_nothing_else(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", um=2)
    submission = Submission(root, ROAD, pictures_of(root))
    for value, path in enumerate(pictures_of(root), start=1):
        add(submission, path, np.full((HEIGHT, WIDTH), value, np.uint8))
    submission.finish(tmp_path, True)
    maps = maps_of(tmp_path / "submission.zip")
    assert list(maps) == ["um_road_000000.png", "um_road_000001.png", "umm_road_000000.png", "uu_road_000000.png"]
    for value, image in enumerate(maps.values(), start=1):
        assert image.shape == (800, 400)
        assert image.dtype == np.uint8
        assert set(np.unique(image)) == {0, value}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "submission.zip"]


def test_cells_of_a_map_by_hand(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", umm=0, uu=0)
    submission = Submission(root, LANE, pictures_of(root))
    confidence = np.random.default_rng(1).integers(1, 256, (HEIGHT, WIDTH), np.uint8)
    add(submission, root / "testing" / "image_2" / "um_000000.png", confidence)
    submission.finish(tmp_path, True)
    (name, image), *others = maps_of(tmp_path / "submission.zip").items()
    assert (name, others) == ("um_lane_000000.png", [])
    # Cell (r, c): x = -9.975 + 0.05 c, z = 45.975 - 0.05 r; u = 72 x / z + 62, v = 118.8 / z + 19, counted from 1.
    assert image[0, 0] == confidence[21 - 1, 46 - 1]  # x -9.975, z 45.975: u 46.38, v 21.58
    assert image[0, 399] == confidence[21 - 1, 77 - 1]  # x 9.975: u 77.62
    assert image[600, 199] == confidence[26 - 1, 61 - 1]  # x -0.025, z 15.975: u 61.89, v 26.44
    assert image[600, 200] == confidence[26 - 1, 62 - 1]  # x 0.025: u 62.11
    assert image[700, 220] == confidence[29 - 1, 68 - 1]  # x 1.025, z 10.975: u 68.72, v 29.82
    assert image[799, 220] == 0  # z 6.025: v 38.72 is past the last row


def test_a_submission_of_the_published_size_goes_unremarked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = make_root(tmp_path / "root", **PUBLISHED["testing"])
    submission = Submission(root, ROAD, pictures_of(root))
    assert caplog.messages == []
    for path in pictures_of(root):
        add(submission, path, np.ones((HEIGHT, WIDTH), np.uint8))
    submission.finish(tmp_path, True)
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        assert len(archive.namelist()) == 290
    Submission(root, LANE, pictures_of(root, "um_*.png"))
    assert caplog.messages == []


def test_other_counts_are_remarked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = make_root(tmp_path / "root", um=2, uu=0)
    Submission(root, ROAD, pictures_of(root))
    (message,) = caplog.messages
    assert message.startswith("KITTI's server would refuse this submission")
    assert message.endswith("has 2/1/0 test pictures of um/umm/uu instead of 96/94/100")
    caplog.clear()
    Submission(root, LANE, pictures_of(root, "um_*.png"))
    assert caplog.messages[0].endswith("has 2 test pictures of um instead of 96")


def test_every_test_picture_has_to_be_there(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", um=9)
    given = pictures_of(root, "uu_*.png")
    with pytest.raises(UserError) as error:
        Submission(root, ROAD, given)
    assert "10 of the 11 test pictures" in str(error.value)
    names = ", ".join(f"um_{number:06d}.png" for number in range(5))
    assert str(error.value).endswith(f"are not in input=: {names} and 5 more")


def test_no_other_picture_may_be_there(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    other = tmp_path / "mine.png"
    with pytest.raises(UserError, match=rf"1 of the pictures in input= are no test pictures for the road: {other}"):
        Submission(root, ROAD, pictures_of(root) | {other: LEVEL})
    # Training pictures have the names of test pictures.
    training = {root / "training" / "image_2" / path.name: LEVEL for path in pictures_of(root)}
    with pytest.raises(UserError) as error:
        Submission(root, ROAD, training)
    assert "3 of the 3 test pictures" in str(error.value)
    assert "3 of the pictures in input= are no test pictures" in str(error.value)


def test_the_lane_is_of_um_alone(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", um=2)
    with pytest.raises(UserError, match=r"2 of the pictures .* for the lane: .*umm_000000\.png.*/um_\*\.png'"):
        Submission(root, LANE, pictures_of(root))


def test_a_picture_without_calibration_is_named(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    pictures = pictures_of(root)
    pictures[root / "testing" / "image_2" / "umm_000000.png"] = None
    with pytest.raises(UserError, match=r"1 test pictures have no calibration in .*testing/calib: umm_000000\.png"):
        Submission(root, ROAD, pictures)


def test_numbers_run_from_zero_without_a_gap(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", um=3)
    (root / "testing" / "image_2" / "um_000001.png").unlink()
    with pytest.raises(UserError, match=r"um_000001\.png is missing; the numbers"):
        Submission(root, ROAD, pictures_of(root))


def test_a_root_without_test_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root=.*nothing: does not exist"):
        Submission(tmp_path / "nothing", ROAD, {})
    root = make_root(tmp_path / "root", um=0)
    with pytest.raises(UserError, match="has no test picture of um"):
        Submission(root, LANE, pictures_of(root))


def test_a_folder_may_be_reached_by_a_link(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    os.symlink(root, tmp_path / "link")
    Submission(tmp_path / "link", ROAD, pictures_of(root))
    Submission(root, ROAD, pictures_of(tmp_path / "link"))


def test_a_zip_is_whole_or_not_there(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    submission = Submission(root, ROAD, pictures_of(root))
    first, second, third = pictures_of(root)
    add(submission, first, np.ones((HEIGHT, WIDTH), np.uint8))
    add(submission, second, np.ones((HEIGHT, WIDTH), np.uint8))
    (tmp_path / "submission.zip").write_bytes(b"the one before")
    with pytest.raises(UserError, match=r"holds 2 maps instead of 3, wrong from uu_road_000000\.png on"):
        submission.finish(tmp_path, True)
    assert (tmp_path / "submission.zip").read_bytes() == b"the one before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "submission.zip"]
    add(submission, third, np.ones((HEIGHT, WIDTH), np.uint8))
    submission.finish(tmp_path, True)
    assert len(maps_of(tmp_path / "submission.zip")) == 3


@pytest.mark.parametrize(
    ("name", "image", "message"),
    [
        ("a.png", np.zeros((800, 400), np.uint8), None),
        ("b.png", np.zeros((800, 400), np.uint8), r"holds 1 maps instead of 1, wrong from a\.png on"),
        ("folder/a.png", np.zeros((800, 400), np.uint8), r"wrong from a\.png on"),
        ("a.png", np.zeros((400, 800), np.uint8), r"a\.png is no 8-bit map of 800 × 400"),
        ("a.png", np.zeros((800, 400, 3), np.uint8), r"a\.png is no 8-bit map"),
        ("a.png", np.zeros((800, 400), np.uint16), r"a\.png is no 8-bit map"),
    ],
)
def test_a_wrong_zip_is_seen(tmp_path: Path, name: str, image: np.ndarray, message: str | None) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, cv2.imencode(".png", image)[1].tobytes())
    if message is None:
        check_zip(tmp_path / "a.zip", {"a.png"})
    else:
        with pytest.raises(UserError, match=message):
            check_zip(tmp_path / "a.zip", {"a.png"})
