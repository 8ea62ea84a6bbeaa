"""How far ahead the road is free, how wide it is, and how much of it there is, from a bird's-eye map of the road.

What is measured and why:

- The vehicle's path is straight ahead along x = 0, ``PATH_WIDTH`` wide: a picture and its calibration say nothing about
  the steering angle. In a bend the path leaves the road, and the free road ends where it does.
- Its width of 1.8 m is that of a car without mirrors.
- A row of cells blocks the path when less than 90 % of the path's cells that the picture shows are road. Single wrong
  pixels do not block, and a thing of 0.2 m does. A row is 0.05 m deep, but a pixel of KITTI's cameras at 40 m is 1.3 m
  long and 0.06 m wide: so far away the end of the road cannot be told more finely than by a metre.
- Rows of which the picture shows no path cell, the nearest ones, are passed over.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.road.birds_eye import BirdsEyeView

PATH_WIDTH = 1.8
"""Metres."""

DISTANCES = (10, 20, 30, 40)
"""Metres ahead at which the road's width is measured."""

_ROAD_PERCENT = 90


@dataclass(frozen=True)
class FreeRoad:
    """The free road of one picture, in metres from the road's origin below the car.

    Args:
        ahead: where the path is blocked; where the rows that are seen end (46 in the benchmark's grid) if nowhere, 0 if
            in the first row that is seen.
        stretches: at each of ``DISTANCES`` that lies in the grid, the unbroken stretch of road through x = 0 as its
            left and right x; None where x = 0 is not road.
        cut_off: those distances at which the stretch reaches the grid's side or what the picture does not show: there
            the road is at least so wide.
        area: m² of road in the grid.
        blocked: whether anything was seen to block the path; if not, it is free for ``ahead`` at least.
    """

    ahead: float
    stretches: dict[int, tuple[float, float] | None]
    cut_off: tuple[int, ...]
    area: float
    blocked: bool = True

    @property
    def widths(self) -> dict[int, float | None]:
        """Width of each stretch."""
        return {distance: None if ends is None else ends[1] - ends[0] for distance, ends in self.stretches.items()}

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file: metres to the centimetre, m² to the hundredth, distances as text."""
        return {
            "free_ahead_m": round(self.ahead, 2),
            "free_ahead_at_least": not self.blocked,
            "width_m": {str(d): None if width is None else round(width, 2) for d, width in self.widths.items()},
            "width_at_least": list(self.cut_off),
            "free_area_m2": round(self.area, 2),
        }


def free_road(road: NDArray[np.bool_], seen: NDArray[np.bool_], view: BirdsEyeView) -> FreeRoad:
    """Measure a bird's-eye map.

    Args:
        road: bool (rows, columns), which cells of ``view`` are road.
        seen: bool (rows, columns), which of them the picture shows (``BirdsEyeView.seen``); others are no road.
        view: the grid.
    """
    road = road & seen
    stretches: dict[int, tuple[float, float] | None] = {}
    cut_off = []
    for distance in DISTANCES:
        row, middle = (int(index) for index in view.to_cells(0.0, float(distance)))
        if not 0 <= row < view.shape[0]:
            continue
        stretches[distance] = None
        if road[row, middle]:
            first, last = _stretch(road[row], middle)
            stretches[distance] = view.x_range[0] + first * view.cell, view.x_range[0] + last * view.cell
            if first == 0 or last == view.shape[1] or not (seen[row, first - 1] and seen[row, last]):
                cut_off.append(distance)
    ahead, blocked = _ahead(road, seen, view)
    return FreeRoad(ahead, stretches, tuple(cut_off), int(road.sum()) * view.cell**2, blocked)


def _stretch(row: NDArray[np.bool_], middle: int) -> tuple[int, int]:
    """First and one past the last cell of the unbroken run of road through ``middle``."""
    gaps = np.flatnonzero(~row)
    after = int(np.searchsorted(gaps, middle))
    first = int(gaps[after - 1]) + 1 if after > 0 else 0
    last = int(gaps[after]) if after < len(gaps) else len(row)
    return first, last


def _ahead(road: NDArray[np.bool_], seen: NDArray[np.bool_], view: BirdsEyeView) -> tuple[float, bool]:
    x, _ = view.to_metres(0, np.arange(view.shape[1]))
    path = np.abs(x) < PATH_WIDTH / 2
    # From near to far.
    shown, free = (cells[::-1, path].sum(1) for cells in (seen, road))
    rows = np.flatnonzero(shown)
    if len(rows) == 0:
        return 0.0, False
    blocked = rows[100 * free[rows] < _ROAD_PERCENT * shown[rows]]
    if len(blocked) and blocked[0] == rows[0]:
        return 0.0, True
    end = int(blocked[0] if len(blocked) else rows[-1] + 1)
    return view.z_range[0] + end * view.cell, bool(len(blocked))
