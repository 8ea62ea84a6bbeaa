"""The bird's-eye view: the benchmark's sampling by hand and cell by cell, its inverse, and the real calibrations."""

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segkit.road import BirdsEyeView, Calibration, birds_eye
from segkit.road.birds_eye import to_pixels
from tests.fixtures import level_camera

TWO_BY_TWO = BirdsEyeView((-2.0, 2.0), (8.0, 12.0), 2.0)
"""Cells at x = -1 and 1; z = 11 in row 0 and 9 in row 1."""
NUMBERED = np.arange(1, 3 * 23 + 1, dtype=np.uint8).reshape(3, 23)


@pytest.fixture(scope="module")
def real(shared_data: Path) -> dict[str, tuple[Calibration, np.ndarray]]:
    """The calibrations of the real recordings with their pictures, by name."""
    folder = shared_data / "kitti_road" / "testing"
    pictures = {path.stem: cv2.imread(str(path)) for path in sorted((folder / "image_2").glob("*.png"))}
    return {name: (Calibration.from_file(folder / f"calib/{name}.txt"), image) for name, image in pictures.items()}


def sampled(u: float, v: float, size: tuple[int, int] = (3, 5)) -> int:
    """What a grid of one cell takes from a picture of 1, 2, 3 … when its centre is seen at (u, v); 0 is nothing."""
    cell = BirdsEyeView((-2.0, 2.0), (8.0, 12.0), 4.0)  # its centre is x = 0, z = 10
    picture = np.arange(1, size[0] * size[1] + 1).reshape(size)
    return int(cell.warp(picture, level_camera(16, (u, v - 16), 10))[0, 0])


def test_cells_by_hand() -> None:
    # u = 99 x / z + 12 is 3 and 21 far away, 1 and 23 close by; v = 99 / z - 8 is 1 and 3.
    camera = level_camera(99, (12, -8), 1)
    assert TWO_BY_TWO.shape == (2, 2)
    np.testing.assert_array_equal(
        TWO_BY_TWO.warp(NUMBERED, camera), [[NUMBERED[0, 2], NUMBERED[0, 20]], [NUMBERED[2, 0], NUMBERED[2, 22]]]
    )
    # One column less: the right near cell looks just past the picture, and so does the lower row without its third.
    np.testing.assert_array_equal(TWO_BY_TWO.warp(NUMBERED[:, :22], camera), [[3, 21], [2 * 23 + 1, 0]])
    np.testing.assert_array_equal(TWO_BY_TWO.warp(NUMBERED[:2], camera, fill=255), [[3, 21], [255, 255]])
    np.testing.assert_array_equal(TWO_BY_TWO.seen(camera, (3, 22)), [[True, True], [True, False]])
    assert TWO_BY_TWO.seen(camera, (3, 22)).dtype == bool


def test_coordinates_are_truncated_and_count_from_1() -> None:
    for u, column in ((1, 0), (1.9375, 0), (2, 1), (2.5, 1), (2.9375, 1), (4.9375, 3), (5, 4)):
        assert sampled(u, 1) == column + 1
    for v, row in ((1, 0), (1.9375, 0), (2, 1), (2.9375, 1), (3, 2)):
        assert sampled(1, v) == row * 5 + 1
    assert sampled(3.75, 2.25) == 1 * 5 + 2 + 1


def test_edges_belong_to_the_picture_and_what_is_beyond_does_not() -> None:
    little = 2**-20
    assert sampled(1, 1) == 1
    assert sampled(5, 3) == 15
    for u, v in ((1 - little, 2), (5 + little, 2), (3, 1 - little), (3, 3 + little)):
        assert sampled(u, v) == 0
    for u, v in ((1 + little, 2), (5 - little, 2), (3, 1 + little), (3, 3 - little)):
        assert sampled(u, v) > 0


def test_the_road_behind_the_camera_is_not_seen() -> None:
    behind = BirdsEyeView((-2.0, 2.0), (-12.0, -8.0), 2.0)
    # Upside down its road would lie above the horizon, in the middle of this picture.
    camera = level_camera(100, (50, 50), 1)
    assert not behind.seen(camera, (100, 100)).any()
    assert behind.warp(np.ones((100, 100)), camera).sum() == 0


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize("kind", [np.uint8, np.bool_, np.float32, np.int64])
def test_types_channels_and_tensors(channels: tuple[int, ...], kind: type) -> None:
    camera = level_camera(99, (12, -8), 1)
    values = np.random.default_rng(0).integers(0, 200, (3, 22, *channels)).astype(kind)
    fill = 1 if kind is np.bool_ else 9
    above = TWO_BY_TWO.warp(values, camera, fill)
    assert above.dtype == kind
    assert above.shape == (2, 2, *channels)
    expected = np.array([[values[0, 2], values[0, 20]], [values[2, 0], np.full(channels, fill, kind)]])
    np.testing.assert_array_equal(above, expected)
    tensor = TWO_BY_TWO.warp(torch.from_numpy(values), camera, fill)
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.from_numpy(values).dtype
    np.testing.assert_array_equal(tensor.numpy(), above)
    back = TWO_BY_TWO.unwarp(above, camera, (3, 22), fill)
    assert back.shape == (3, 22, *channels)
    np.testing.assert_array_equal(TWO_BY_TWO.unwarp(tensor, camera, (3, 22), fill).numpy(), back)


def test_pictures_need_not_lie_in_one_piece() -> None:
    camera = level_camera(99, (12, -8), 1)
    rgb = np.random.default_rng(0).integers(0, 256, (3, 23, 3), np.uint8)
    wide = np.zeros((3, 40, 3), np.uint8)
    wide[:, 5:28] = rgb
    expected = TWO_BY_TWO.warp(rgb, camera)
    np.testing.assert_array_equal(TWO_BY_TWO.warp(wide[:, 5:28], camera), expected)
    np.testing.assert_array_equal(TWO_BY_TWO.warp(rgb[..., ::-1], camera), expected[..., ::-1])
    np.testing.assert_array_equal(TWO_BY_TWO.warp(torch.from_numpy(wide)[:, 5:28], camera).numpy(), expected)


def test_results_and_pictures_are_not_shared() -> None:
    camera = level_camera(99, (12, -8), 1)
    picture = NUMBERED.copy()
    first = TWO_BY_TWO.warp(picture, camera)
    kept = first.copy()
    first[:] = 77
    TWO_BY_TWO.seen(camera, (3, 23))[:] = False
    np.testing.assert_array_equal(TWO_BY_TWO.warp(picture, camera), kept)
    np.testing.assert_array_equal(picture, NUMBERED)


def test_a_table_is_made_once_for_a_calibration_a_size_and_a_grid() -> None:
    def made(call: Callable[[], object]) -> int:
        before = birds_eye._table_down.cache_info().misses
        call()
        return birds_eye._table_down.cache_info().misses - before

    def camera() -> Calibration:
        return level_camera(99, (12.03125, -8), 1)

    assert made(lambda: TWO_BY_TWO.warp(NUMBERED, camera())) == 1
    assert made(lambda: TWO_BY_TWO.warp(NUMBERED.astype(float), camera())) == 0
    assert made(lambda: BirdsEyeView((-2.0, 2.0), (8.0, 12.0), 2.0).warp(torch.from_numpy(NUMBERED), camera())) == 0
    assert made(lambda: TWO_BY_TWO.warp(NUMBERED[:, :9], camera())) == 1
    assert made(lambda: TWO_BY_TWO.warp(NUMBERED, level_camera(99, (12.03125, -8), 1.5))) == 1
    assert made(lambda: BirdsEyeView((-2.0, 2.0), (8.0, 12.0), 1.0).warp(NUMBERED, camera())) == 1


def road_to_pixels(path: Path) -> list[list[float]]:
    """The homography, read and multiplied without the code under test."""
    rows = dict(line.split(":") for line in path.read_text().strip().splitlines())
    numbers = {name: np.array(row.split(), float) for name, row in rows.items()}
    to_road = np.vstack([numbers["Tr_cam_to_road"].reshape(3, 4), [0, 0, 0, 1]])
    # Points of the road plane in the camera's frame: the origin, and a metre to the right and ahead of it.
    to_camera = np.linalg.solve(to_road, np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]], float))
    rectified = np.vstack([numbers["R0_rect"].reshape(3, 3) @ to_camera[:3], to_camera[3]])
    return (numbers["P2"].reshape(3, 4) @ rectified).tolist()


def cell_by_cell(homography: list[list[float]], size: tuple[int, int], rounded: Callable[[float], float]) -> list[int]:
    """Number of the pixel that each cell of the benchmark's grid is taken from, -1 for none."""
    (a, b, c), (d, e, f), (g, h, i) = homography
    pixels = []
    for row in range(800):
        z = float(rounded(46 - 0.05 / 2 - row * 0.05))
        for column in range(400):
            x = float(rounded(-10 + 0.05 / 2 + column * 0.05))
            scale = g * x + h * z + i
            u, v = (a * x + b * z + c) / scale, (d * x + e * z + f) / scale
            inside = 1 <= u <= size[1] and 1 <= v <= size[0]
            pixels.append((math.floor(v) - 1) * size[1] + math.floor(u) - 1 if inside else -1)
    return pixels


def test_every_cell_of_a_real_calibration(shared_data: Path) -> None:
    path = shared_data / "kitti_road" / "testing" / "calib" / "umm_000077.txt"
    size = (376, 1241)
    pixel_numbers = np.arange(size[0] * size[1]).reshape(size)
    found = BirdsEyeView().warp(pixel_numbers, Calibration.from_file(path), fill=-1).ravel()
    homography = road_to_pixels(path)
    assert found.tolist() == cell_by_cell(homography, size, np.float32)
    # With coordinates of double precision a few cells would come from the pixel beside it.
    assert 0 < (found != cell_by_cell(homography, size, float)).sum() < 20


RANGES = st.tuples(st.integers(-20, 20), st.integers(1, 60)).map(lambda pair: (float(pair[0]), float(sum(pair))))
INDICES = st.integers(-3000, 3000)


@given(RANGES, RANGES, st.sampled_from([0.05, 0.1, 0.25, 1.0]), INDICES, INDICES)
def test_metres_of_a_cell_lead_back_to_it(x_range, z_range, cell, row, column) -> None:
    grid = BirdsEyeView(x_range, z_range, cell)
    assert [int(index) for index in grid.to_cells(*grid.to_metres(row, column))] == [row, column]


@given(st.floats(-200, 200), st.floats(-200, 200))
def test_a_point_lies_in_its_cell(x: float, z: float) -> None:
    grid = BirdsEyeView()
    middle_x, middle_z = grid.to_metres(*grid.to_cells(x, z))
    assert abs(middle_x - x) <= 0.025 + 1e-9
    assert abs(middle_z - z) <= 0.025 + 1e-9


def test_metres_and_cells_by_hand() -> None:
    grid = BirdsEyeView()
    x, z = grid.to_metres(np.array([0, 799]), np.array([0, 399]))
    np.testing.assert_allclose(x, [-9.975, 9.975])
    np.testing.assert_allclose(z, [45.975, 6.025])
    rows, columns = grid.to_cells(np.array([-9.99, 0.01, 10.01]), np.array([45.99, 6.01, 5.99]))
    assert rows.tolist() == [0, 799, 800]
    assert columns.tolist() == [0, 200, 400]
    assert rows.dtype == columns.dtype == np.int64


def test_pixels_of_points_by_hand() -> None:
    # u = 50 + 100 · 3 / 10 = 80 and v = 20 + 100 · 2 / 10 = 40, counted from 1.
    column, row = to_pixels(3, 10, level_camera(100, (50, 20), 2))
    assert (float(column), float(row)) == (79, 39)
    columns, rows = to_pixels([3, -3], 20, level_camera(100, (50, 20), 2))
    assert (columns.tolist(), rows.tolist()) == ([64, 34], [29, 29])


def test_a_cell_is_taken_from_the_pixel_that_its_point_lies_in(real: dict[str, tuple[Calibration, np.ndarray]]) -> None:
    grid = BirdsEyeView()
    x, z = grid.to_metres(*np.indices(grid.shape))
    for calibration, image in list(real.values())[::5]:
        columns, rows = (np.floor(place).astype(int) for place in to_pixels(x, z, calibration))
        height, width = image.shape[:2]
        coded = grid.warp(np.arange(height * width).reshape(height, width), calibration, fill=-1)
        seen = grid.seen(calibration, (height, width))
        np.testing.assert_array_equal(coded >= 0, seen)
        # All but those that the grid's single precision moves over a pixel's edge.
        assert (coded != rows * width + columns)[seen].sum() < 20


def test_the_real_pictures_fill_the_grid_but_for_its_near_corners(
    real: dict[str, tuple[Calibration, np.ndarray]],
) -> None:
    grid = BirdsEyeView()
    assert len(real) == 21
    for calibration, image in real.values():
        above = grid.warp(image, calibration)
        seen = grid.seen(calibration, image.shape[:2])
        assert above.shape == (800, 400, 3)
        assert seen[:600].all()  # from 16 m on
        assert not seen[-1, [0, -1]].any()
        assert not above[~seen].any()
        assert 0.95 < seen.mean() < 0.97
        assert above[seen].std() > 10


def test_straight_lines_of_the_road_stay_straight(real: dict[str, tuple[Calibration, np.ndarray]]) -> None:
    grid = BirdsEyeView()
    z = np.linspace(7.0, 45.5, 50)
    for calibration, image in real.values():
        inverse = np.linalg.inv(calibration.ground_homography())
        for x in (-4.525, -0.025, 3.475):  # middles of columns
            columns, rows = to_pixels(np.full_like(z, x), z, calibration)
            # A line of the road is a line of the picture, and leads back to its own column …
            along = np.array([columns[-1] - columns[0], rows[-1] - rows[0]])
            off = np.cross(np.append(along, 0), np.stack([columns - columns[0], rows - rows[0], 0 * z], 1))[:, 2]
            assert np.abs(off).max() / np.hypot(*along) < 1e-6
            back = inverse @ np.stack([columns + 1, rows + 1, np.ones_like(z)])
            assert set(grid.to_cells(*back[:2] / back[2])[1]) == {int(grid.to_cells(x, 20.0)[1])}
            # … and one that is drawn in the picture stands upright in the bird's-eye view.
            drawn = np.zeros(image.shape[:2], np.uint8)
            start, end = (np.rint((np.array([columns[i], rows[i]]) - 0.5) * 16).astype(int).tolist() for i in (0, -1))
            cv2.line(drawn, start, end, 1, shift=4)
            marked_rows, marked_columns = np.nonzero(grid.warp(drawn, calibration)[20:700])
            found_x, found_z = grid.to_metres(marked_rows + 20, marked_columns)
            assert len(set(marked_rows)) > 500
            # Within two pixels on either side, each z / 700 m wide, and more where the line runs aslant …
            aslant = np.hypot(*along) / abs(along[1])
            assert (np.abs(found_x - x) < 0.025 + 2 * aslant * found_z / 700).all()
            # … it leans by less than 0.2 m over 40 m.
            assert abs(np.polyfit(found_z, found_x - x, 1)[0]) < 0.2 / 40


def test_unwarp_gives_each_pixel_the_cell_under_its_centre(real: dict[str, tuple[Calibration, np.ndarray]]) -> None:
    grid = BirdsEyeView()
    cells = np.arange(800 * 400).reshape(800, 400)
    for calibration, image in list(real.values())[::7]:
        size = image.shape[:2]
        found = grid.unwarp(cells, calibration, size, fill=-1)
        v, u = np.indices(size) + 1.5
        x, z, scale = np.moveaxis(np.linalg.inv(calibration.ground_homography()) @ np.stack([u, v, v * 0 + 1], 1), 1, 0)
        x, z = x / scale, z / scale
        inside = (scale > 0) & (np.abs(x) < 10) & (z > 6) & (z < 46)
        np.testing.assert_array_equal(found >= 0, inside)
        middle_x, middle_z = grid.to_metres(*np.divmod(found[inside], 400))
        assert np.abs(middle_x - x[inside]).max() < 0.026
        assert np.abs(middle_z - z[inside]).max() < 0.026


def test_a_band_comes_back_from_the_picture(real: dict[str, tuple[Calibration, np.ndarray]]) -> None:
    grid = BirdsEyeView()
    x, z = grid.to_metres(*np.indices(grid.shape))
    band = (np.abs(x) < 3.5).astype(np.uint8)
    for calibration, image in list(real.values())[::7]:
        size = image.shape[:2]
        back = grid.warp(grid.unwarp(band, calibration, size), calibration)
        # The picture's rows are up to 2 m long at the far end; its columns z / 700 m wide.
        clear = grid.seen(calibration, size) & (z < 43) & (np.abs(np.abs(x) - 3.5) > 0.05 + 3 * z / 700)
        assert clear.mean() > 0.8
        np.testing.assert_array_equal(back[clear], band[clear])
