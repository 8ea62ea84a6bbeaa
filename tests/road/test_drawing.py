"""The free road on pictures: lines where the road's points lie, texts apart from each other and inside the picture."""

from collections.abc import Callable
from itertools import combinations

import cv2
import numpy as np
import pytest

from segkit.road import BirdsEyeView
from segkit.road.drawing import PATH, WIDTH, draw_on_birds_eye, draw_on_picture
from segkit.road.free_space import FreeRoad
from tests.fixtures import level_camera

CAMERA = level_camera(720, (611, 173), 1.6)
VIEW = BirdsEyeView()
NONE = dict.fromkeys((10, 20, 30, 40))
FREE = FreeRoad(24.0, {10: (-3.0, 4.0), 20: (-3.0, 2.0), 30: None, 40: None}, (), 150.0)
WIDE = FreeRoad(46.0, {distance: (-10.0, 10.0) for distance in NONE}, tuple(NONE), 800.0)
NARROW = FreeRoad(45.5, {distance: (-0.2, 0.1) for distance in NONE}, (), 12.0)

Draw = Callable[[FreeRoad], np.ndarray]


def picture(free: FreeRoad) -> np.ndarray:
    return draw_on_picture(np.full((375, 1242, 3), 60, np.uint8), free, CAMERA)


def above(free: FreeRoad) -> np.ndarray:
    return draw_on_birds_eye(np.full((800, 400, 3), 60, np.uint8), free, VIEW)


def in_picture(x: float, z: float) -> tuple[int, int]:
    """Row and column: u = 720 x / z + 611 and v = 720 · 1.6 / z + 173 count from 1."""
    return int(720 * 1.6 / z + 172), int(720 * x / z + 610)


def in_view(x: float, z: float) -> tuple[int, int]:
    """Row and column of the cell."""
    return int((46 - z) / 0.05), int((x + 10) / 0.05)


BOTH = pytest.mark.parametrize(("draw", "place"), [(picture, in_picture), (above, in_view)], ids=["picture", "above"])


def has(image: np.ndarray, colour: tuple[int, int, int], place: tuple[int, int]) -> bool:
    """Whether nearly this colour is within a pixel of a place: lines are smooth, two pixels wide."""
    row, column = place
    near = image[max(row - 1, 0) : row + 2, column - 1 : column + 2].astype(int)
    return bool((np.abs(near - colour).max(-1) < 40).any())


@BOTH
def test_lines_are_where_the_road_is(draw: Draw, place: Callable[[float, float], tuple[int, int]]) -> None:
    image = draw(FREE)
    for x in (-0.9, 0.9):
        for z in (7.5, 9.0, 12.0, 15.0, 18.0, 22.0, 23.5):
            assert has(image, PATH, place(x, z))
            # Not to the side of it, and not beyond its end.
            assert not has(image, PATH, place(x * 1.6, z))
        assert not has(image, PATH, place(x, 29.0))
    for x in (-0.7, 0.0, 0.7):
        assert has(image, PATH, place(x, 24.0))
    for x in (-2.9, -1.5, 0.0, 1.5, 3.9):
        assert has(image, WIDTH, place(x, 10.0))
        assert not has(image, WIDTH, place(x, 8.5))
    for x in (-2.9, -1.5, 0.3, 1.9):
        assert has(image, WIDTH, place(x, 20.0))
    for x, z in ((-3.3, 10.0), (-3.4, 20.0), (0.0, 40.0)):
        assert not has(image, WIDTH, place(x, z))


@BOTH
def test_the_picture_itself_is_left_alone(draw: Draw, place: object) -> None:
    grey = np.full((375, 1242, 3) if draw is picture else (800, 400, 3), 60, np.uint8)
    drawn = draw_on_picture(grey, WIDE, CAMERA) if draw is picture else draw_on_birds_eye(grey, WIDE, VIEW)
    assert (grey == 60).all()
    assert drawn.shape == grey.shape
    assert drawn.dtype == np.uint8
    assert (drawn != 60).any()


@BOTH
def test_nothing_free_is_said_and_no_line_drawn(draw: Draw, place: Callable[[float, float], tuple[int, int]]) -> None:
    image = draw(FreeRoad(0.0, NONE, (), 0.0))
    rows, columns = np.nonzero((image != 60).any(-1))
    # A text at the lower border, in the middle of the path.
    assert rows.max() == len(image) - 1
    assert rows.min() > len(image) - 30
    assert abs(columns.mean() - place(0.0, 7.0)[1]) < 5
    assert np.ptp(columns) < 110


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int, int, int]]:
    """The texts that are drawn, each with its left, top, right and bottom."""
    texts: dict[str, tuple[int, int, int, int]] = {}
    put = cv2.putText

    def record(image, text, origin, font, scale, colour, thickness, line):
        (width, height), _ = cv2.getTextSize(text, font, scale, thickness)
        texts[text] = (origin[0], origin[1] - height, origin[0] + width, origin[1])
        return put(image, text, origin, font, scale, colour, thickness, line)

    monkeypatch.setattr(cv2, "putText", record)
    return texts


@BOTH
@pytest.mark.parametrize("free", [FREE, WIDE, NARROW], ids=["free", "wide", "narrow"])
def test_texts_neither_overlap_nor_leave_the_picture(draw: Draw, place: object, free: FreeRoad, written) -> None:
    height, width = draw(free).shape[:2]
    assert len(written) == 1 + sum(stretch is not None for stretch in free.stretches.values())
    for left, top, right, bottom in written.values():
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
    for one, other in combinations(written.values(), 2):
        assert one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]


@BOTH
def test_texts_say_the_metres_and_where_they_are_the_least(draw: Draw, place: object, written) -> None:
    draw(FreeRoad(23.4499, {10: (-3.0, 4.31), 20: (-9.0, 1.0), 30: None}, (20,), 150.0))
    assert set(written) == {"free 23.4 m", "10 m: 7.3 m", "20 m: >= 10.0 m"}


@BOTH
def test_texts_stand_at_what_they_speak_of(
    draw: Draw, place: Callable[[float, float], tuple[int, int]], written
) -> None:
    draw(FREE)
    left, _, right, bottom = written["free 24.0 m"]
    row, column = place(0.0, 24.0)
    assert abs((left + right) / 2 - column) < 3
    assert 0 < row - bottom < 15
    for text, x, z in (("10 m: 7.0 m", 4.0, 10.0), ("20 m: 5.0 m", 2.0, 20.0)):
        left, top, _, bottom = written[text]
        row, column = place(x, z)
        assert 0 < left - column < 15
        assert abs((top + bottom) / 2 - row) < 10


def test_small_pictures_have_what_fits() -> None:
    for height, width in ((60, 200), (20, 40), (4, 6)):
        camera = level_camera(0.58 * width, (width / 2, 0.46 * height), 1.6 * height / 375 * 1242 / width)
        image = np.zeros((height, width, 3), np.uint8)
        assert draw_on_picture(image, WIDE, camera).shape == image.shape
