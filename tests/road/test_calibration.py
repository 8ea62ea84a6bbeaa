"""Calibration files: read as they are written, the projection by hand, and every mistake named by file and line."""

from pathlib import Path

import numpy as np
import pytest

from segkit.errors import UserError
from segkit.road import Calibration
from segkit.road.calibration import SHAPES
from tests.fixtures import level_camera

TEXT = level_camera(100, (50, 20), 2).text()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "um_000000.txt"
    path.write_text(TEXT)
    return path


def test_what_is_written_is_read(file: Path) -> None:
    rng = np.random.default_rng(0)
    # Numbers of every size, as a file holds them: 13 digits.
    matrices = {name: np.round(rng.normal(0, 3, shape), 11) * 1000.0 for name, shape in SHAPES.items()}
    file.write_text(Calibration(matrices).text())
    read = Calibration.from_file(file).matrices
    assert list(read) == list(SHAPES)
    for name, matrix in matrices.items():
        assert read[name].dtype == np.float64
        assert read[name].shape == SHAPES[name]
        np.testing.assert_allclose(read[name], matrix, rtol=1e-12)


def test_numbers_are_row_major_and_other_lines_are_passed_over(file: Path) -> None:
    lines = [line for line in TEXT.splitlines() if not line.startswith("P2")]
    lines += ["", "  P2 :\t1 2 3 4  5 6e0 7 8 0 0 1 12 ", "calib_time: 09-Jan-2012 13:57:47", "S_00: 1 2"]
    file.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    np.testing.assert_array_equal(
        Calibration.from_file(str(file)).matrices["P2"], [[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 1, 12]]
    )


def test_projection_by_hand() -> None:
    calibration = level_camera(100, (50, 20), 2)
    # 1 m above the road at x = 3, z = 10: 1 m below the camera.
    u, v, depth = calibration.projection() @ [3, -1, 10, 1]
    assert (u / depth, v / depth, depth) == (100 * 3 / 10 + 50, 100 * 1 / 10 + 20, 10)
    u, v, depth = calibration.ground_homography() @ [3, 10, 1]
    assert (u / depth, v / depth, depth) == (100 * 3 / 10 + 50, 100 * 2 / 10 + 20, 10)


def test_projection_rectifies_after_leaving_the_road() -> None:
    calibration = level_camera(100, (50, 20), 2)
    # The road's frame is turned by 90° about z and shifted, and the rectification turns by 90° about y: with
    # road = T · camera, a camera point (1, 2, 30) lies at (-2 + 7, 1 + 8, 30 + 9) in the road's frame …
    calibration.matrices["Tr_cam_to_road"] = np.array([[0, -1, 0, 7], [1, 0, 0, 8], [0, 0, 1, 9]], float)
    # … and at (30, 2, -1) in the rectified one.
    calibration.matrices["R0_rect"] = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], float)
    u, v, depth = calibration.projection() @ [5, 9, 39, 1]
    np.testing.assert_allclose((u, v, depth), (100 * 30 + 50 * -1, 100 * 2 + 20 * -1, -1))


def changed(name: str, line: str | None) -> str:
    """The file with the line of a matrix replaced, or left out."""
    lines = [line if old.startswith(f"{name}:") else old for old in TEXT.splitlines()]
    return "\n".join(new for new in lines if new is not None)


NINE, TWELVE = " ".join("1" * 9), " ".join("1" * 12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *[(changed(name, None), f"{name} in its 7 lines") for name in SHAPES],
        ("", "has no P0, P1, P2, P3, R0_rect, Tr_velo_to_cam, Tr_imu_to_velo, Tr_cam_to_road in its 0 lines"),
        (changed("P2", f"P2: {TWELVE} 1"), "line 3: P2 has 13 numbers instead of 3 × 4"),
        (changed("R0_rect", f"R0_rect: {TWELVE}"), "line 5: R0_rect has 12 numbers instead of 3 × 3"),
        (changed("Tr_cam_to_road", f"Tr_cam_to_road: {NINE}"), "line 8: Tr_cam_to_road has 9 numbers instead of 3 × 4"),
        (changed("P0", "P0:"), "line 1: P0 has 0 numbers instead of 3 × 4"),
        (changed("P1", f"P1: {TWELVE[:-1]}1,5"), "line 2: P1: '1,5' is no number"),
        (changed("P3", f"P3: {TWELVE[:-1]}nan"), "line 4: P3 holds a number that is not finite"),
        (changed("P3", f"P3: inf{TWELVE[1:]}"), "line 4: P3 holds a number that is not finite"),
        (f"{TEXT}P2: {TWELVE}", "line 9: P2 is there for the second time"),
        (changed("Tr_cam_to_road", f"Tr_cam_to_road: {TWELVE}"), "Tr_cam_to_road is no motion"),
        (changed("P2", "P2: 1 0 0 0  0 0 0 0  0 0 1 0"), "P2 and R0_rect show no road plane"),
    ],
)
def test_mistakes_are_named(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        Calibration.from_file(file)
    assert str(caught.value).startswith(str(file))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"um_000009\.txt: cannot be read"):
        Calibration.from_file(tmp_path / "um_000009.txt")
    (tmp_path / "um.txt").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match=r"um\.txt: is no text file"):
        Calibration.from_file(tmp_path / "um.txt")


def test_the_real_files_are_read_and_written_again_alike(shared_data: Path) -> None:
    paths = sorted((shared_data / "kitti_road" / "testing" / "calib").glob("*.txt"))
    assert len(paths) == 21
    for path in paths:
        calibration = Calibration.from_file(path)
        assert calibration.text() == path.read_text()
        # The camera stands 1.4 to 1.8 m above the road and looks along it.
        to_road = calibration.matrices["Tr_cam_to_road"]
        assert -1.8 < to_road[1, 3] < -1.4
        far = calibration.ground_homography() @ [0, 1e6, 1]
        assert np.abs(far[:2] / far[2] - calibration.matrices["P2"][:2, 2]).max() < 40
