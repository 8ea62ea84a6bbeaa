"""Calibrations of KITTI's raw recordings: the file's cameras, over a road that it does not know."""

from pathlib import Path

import numpy as np
import pytest

from segkit.errors import UserError
from segkit.road.birds_eye import to_pixels
from segkit.road.calibration import Calibration
from segkit.road.layout import find_calibrations
from segkit.road.raw_calibration import read_calibration, read_calibrations
from tests.fixtures import level_camera, write_raw_calibration


def picture_of(day: Path, camera: str = "image_02") -> Path:
    return day / "2011_09_26_drive_0001_sync" / camera / "data" / "0000000000.png"


def test_a_point_of_the_road_by_hand(tmp_path: Path) -> None:
    path = write_raw_calibration(tmp_path / "calib_cam_to_cam.txt", focal=70, centre=(60, 15))
    # 1.65 m below a level camera, whatever rotation rectifies it; camera 3 stands 0.5 m to the right of camera 0.
    for camera, right in (("image_02", 0.0), ("image_03", 0.5)):
        calibration = read_calibration(path, picture_of(tmp_path, camera))
        u, v = to_pixels(np.array(2.0), np.array(10.0), calibration)
        assert (float(u), float(v)) == pytest.approx((70 * (2 - right) / 10 + 60 - 1, 70 * 1.65 / 10 + 15 - 1))
    assert np.array_equal(
        read_calibration(path, tmp_path / "drive.mp4").projection(),
        read_calibration(path, picture_of(tmp_path)).projection(),
    )


def test_it_is_found_in_the_days_folder_and_read_for_each_camera(tmp_path: Path) -> None:
    path = write_raw_calibration(tmp_path / "calib_cam_to_cam.txt")
    left, right = picture_of(tmp_path), picture_of(tmp_path, "image_03")
    elsewhere = tmp_path / "pictures" / "a.png"
    files = find_calibrations([left, right, elsewhere], None)
    assert files == [path, path, None]
    read = read_calibrations([left, right, elsewhere], files)
    assert read[elsewhere] is None
    assert read[left] is not None
    assert read[right] is not None
    assert not np.array_equal(read[left].projection(), read[right].projection())
    assert find_calibrations([elsewhere, left], str(path)) == [path, path]  # one file for all


def test_kitti_roads_own_files_are_read_as_they_are(tmp_path: Path, shared_data: Path) -> None:
    (tmp_path / "a.txt").write_text(level_camera(70, (60, 15), 1.5).text())
    read = read_calibration(tmp_path / "a.txt", tmp_path / "a.png")
    assert np.allclose(read.projection(), level_camera(70, (60, 15), 1.5).projection())
    # The level road is about where KITTI road's own calibrations have it: 20 m ahead, within 3 m on the mean.
    found = []
    for path in sorted((shared_data / "kitti_road" / "testing" / "calib").glob("*.txt")):
        real = Calibration.from_file(path)
        lines = [f"P_rect_02: {text(real.matrices['P2'])}", f"R_rect_00: {text(real.matrices['R0_rect'])}"]
        (tmp_path / "raw.txt").write_text("\n".join(lines))
        u, v = to_pixels(np.array(0.0), np.array(20.0), read_calibration(tmp_path / "raw.txt", path))
        x, z, w = np.linalg.inv(real.ground_homography()) @ (u + 1, v + 1, 1)
        found.append((x / w, z / w))
    assert abs(np.mean(found, 0)[1] - 20) < 3
    assert abs(np.mean(found, 0)[0]) < 0.5


def text(matrix: np.ndarray) -> str:
    return " ".join(f"{value:.12e}" for value in matrix.ravel())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("P_rect_02", "P_rect_04"), "has no P_rect_02 of 3 × 4 numbers"),
        (("R_rect_00: 1", "R_rect_00: one"), "has no R_rect_00 of 3 × 3 numbers"),
        (("R_rect_00: 1", "R_rect_00: nan"), "R_rect_00 cannot be inverted"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    path = write_raw_calibration(tmp_path / "calib_cam_to_cam.txt", rotated=False)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(UserError, match=rf"calib_cam_to_cam\.txt: {said}"):
        read_calibration(path, picture_of(tmp_path))
