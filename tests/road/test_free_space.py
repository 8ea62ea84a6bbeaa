"""Free road, widths and area of synthetic maps, worked out by hand."""

import json

import numpy as np
import pytest

from segkit.road import BirdsEyeView
from segkit.road.free_space import FreeRoad, free_road

GRID = BirdsEyeView()
X, Z = GRID.to_metres(*np.indices(GRID.shape))
ALL = np.ones(GRID.shape, bool)


def measured(road: np.ndarray, seen: np.ndarray = ALL) -> FreeRoad:
    return free_road(road, seen, GRID)


def test_a_straight_road_is_free_to_the_end() -> None:
    free = measured((X > -3) & (X < 4.5))
    assert free.ahead == pytest.approx(46)
    assert not free.blocked  # nothing was seen to end it
    assert list(free.stretches) == [10, 20, 30, 40]
    for stretch in free.stretches.values():
        assert stretch == pytest.approx((-3, 4.5))
    assert list(free.widths.values()) == pytest.approx([7.5] * 4)
    assert free.cut_off == ()
    assert free.area == pytest.approx(7.5 * 40)


def test_blocked_at_a_known_distance() -> None:
    road = np.abs(X) < 3
    # A box of 1 m × 2 m stands at 23.4 m, to the right in the path.
    road &= ~((X > 0) & (X < 1) & (Z > 23.4) & (Z < 25.4))
    free = measured(road)
    assert free.ahead == pytest.approx(23.4)
    assert free.blocked
    assert list(free.widths.values()) == pytest.approx([6, 6, 6, 6])
    assert free.area == pytest.approx(6 * 40 - 2)
    # Beside the path it does not block.
    road = (np.abs(X) < 3) & ~((X > 0.9) & (X < 2) & (Z > 23.4) & (Z < 25.4))
    assert measured(road).ahead == pytest.approx(46)


def test_a_road_that_ends_or_bends_away() -> None:
    free = measured((np.abs(X) < 3) & (Z < 20))
    assert free.ahead == pytest.approx(20)
    assert free.widths == {10: pytest.approx(6), 20: pytest.approx(6), 30: None, 40: None}
    # Its right border runs from x = 3 at 6 m to x = -1 at 46 m and meets the path at 27 m; 1.8 m further on
    # a tenth of the path, 0.18 m, is lost.
    bent = measured((X > -6) & (X < 3 - (Z - 6) * 0.1))
    assert bent.ahead == pytest.approx(27 + 1.8, abs=0.5)
    assert bent.widths[40] is None
    assert bent.stretches[30] == pytest.approx((-6, 0.6), abs=0.06)


def test_blocked_at_once() -> None:
    free = measured((np.abs(X) < 3) & (Z > 6.05))
    assert free.ahead == 0
    assert free.widths[10] == pytest.approx(6)
    nothing = measured(np.zeros(GRID.shape, bool))
    assert (nothing.ahead, nothing.area, nothing.cut_off) == (0, 0, ())
    assert set(nothing.widths.values()) == {None}


def test_one_row_later_is_0_05_m_further() -> None:
    free = measured((np.abs(X) < 3) & ((Z < 6.05) | (Z > 6.1)))
    assert free.ahead == pytest.approx(6.05)


@pytest.mark.parametrize(("missing", "ahead"), [(3, 46), (4, 15)])
def test_a_tenth_of_the_path_may_be_missing(missing: int, ahead: float) -> None:
    # The path is 36 cells wide.
    road = np.abs(X) < 3
    row = int(GRID.to_cells(0, 15.02)[0])
    road[row, 182 : 182 + missing] = False
    assert measured(road).ahead == pytest.approx(ahead)


def test_nine_tenths_of_what_is_shown_of_the_path_are_enough() -> None:
    row = int(GRID.to_cells(0, 15.02)[0])
    seen, road = ALL.copy(), np.abs(X) < 3
    seen[row, 202:] = False  # 20 cells of the path are left
    road[row, 182:184] = False
    assert measured(road, seen).ahead == pytest.approx(46)
    road[row, 184] = False
    assert measured(road, seen).ahead == pytest.approx(15)


def test_speckle_does_not_block_but_ends_a_stretch() -> None:
    road = np.abs(X) < 3
    road[np.random.default_rng(0).random(GRID.shape) < 0.005] = False
    road[int(GRID.to_cells(0, 10)[0])] = np.abs(X[0]) < 3
    road[int(GRID.to_cells(0, 10)[0]), 250] = False  # from x = 2.5 to 2.55
    free = measured(road)
    assert free.ahead == pytest.approx(46)
    assert free.stretches[10] == pytest.approx((-3, 2.5))


def test_a_road_narrower_than_the_path() -> None:
    free = measured(np.abs(X) < 0.8)
    assert free.ahead == 0
    assert free.widths[20] == pytest.approx(1.6)
    assert measured(np.abs(X) < 0.85).ahead == pytest.approx(46)  # 34 of 36 cells


def test_no_width_beside_the_road() -> None:
    free = measured((X > 0.05) & (X < 5))
    assert set(free.widths.values()) == {None}
    assert free.ahead == 0
    assert free.area == pytest.approx(4.95 * 40)


def test_stretches_that_reach_the_side_are_at_least_so_wide() -> None:
    road = np.abs(X) < 3
    road[(Z < 15) & (X < 0)] = True  # to the grid's left side
    road[(Z > 35) & (X > 0)] = True  # to its right side
    free = measured(road)
    assert free.cut_off == (10, 40)
    assert free.stretches[10] == pytest.approx((-10, 3))
    assert free.stretches[40] == pytest.approx((-3, 10))
    assert measured(ALL).cut_off == (10, 20, 30, 40)


def test_stretches_that_reach_what_is_not_shown_are_at_least_so_wide() -> None:
    # The picture shows a wedge: |x| < 0.8 z.
    seen = np.abs(X) < 0.8 * Z
    free = measured(ALL, seen)
    assert free.stretches[10] == pytest.approx((-8, 8), abs=0.11)
    assert free.cut_off == (10, 20, 30, 40)
    assert measured(np.abs(X) < 9, seen).cut_off == (10,)
    assert measured((X > -3) & (X < 9), seen).cut_off == (10,)
    assert free.area == pytest.approx(seen.sum() * 0.05**2)


def test_rows_and_cells_that_are_not_shown_are_passed_over() -> None:
    # Nothing nearer than 7 m is shown, and nothing right of the middle nearer than 9 m.
    seen = (Z > 7) & ((Z > 9) | (X < 0))
    road = np.abs(X) < 3
    assert measured(road & seen, seen).ahead == pytest.approx(46)
    assert measured(road & seen & (Z < 12), seen).ahead == pytest.approx(12)
    # Blocked in the first row that is shown.
    assert measured(road & seen & (Z > 7.1), seen).ahead == 0
    # Where nothing of the path is shown nothing is known to be free.
    assert measured(ALL, np.abs(X) > 1).ahead == 0
    # No further than what is shown.
    assert measured(ALL, Z < 30).ahead == pytest.approx(30)
    assert measured(ALL, Z < 30).widths[40] is None


def test_what_is_not_shown_is_no_road() -> None:
    assert measured(ALL, np.zeros(GRID.shape, bool)) == FreeRoad(0.0, dict.fromkeys((10, 20, 30, 40)), (), 0.0, False)


def test_another_grid_measures_at_its_own_distances() -> None:
    grid = BirdsEyeView((-5.0, 5.0), (0.0, 25.0), 0.1)
    road = np.abs(grid.to_metres(*np.indices(grid.shape))[0]) < 2
    free = free_road(road, np.ones(grid.shape, bool), grid)
    assert free.ahead == pytest.approx(25)
    assert free.widths == {10: pytest.approx(4), 20: pytest.approx(4)}
    assert free.area == pytest.approx(4 * 25)


def test_as_dict_is_json_in_centimetres() -> None:
    free = FreeRoad(23.400000000000002, {10: (-3.0, 4.300000001), 20: (-1.0, 1.006), 30: None}, (10,), 123.45678)
    expected = {
        "free_ahead_m": 23.4,
        "free_ahead_at_least": False,
        "width_m": {"10": 7.3, "20": 2.01, "30": None},
        "width_at_least": [10],
        "free_area_m2": 123.46,
    }
    assert free.as_dict() == expected
    written = measured((np.abs(X) < 3) & (Z < 33)).as_dict()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
