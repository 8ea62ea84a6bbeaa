"""A random drive in metres: the road's line, what lies across it, and where the camera is in each frame.

Positions are (d, s): ``s`` runs along the road, ``d`` to the right across it, 0 on the line that the camera follows.
Everything across the road keeps its ``d`` for the whole drive, so a picture is a lookup of (d, s) at each ground pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from segkit.road.calibration import Calibration
from segkit.scenes.arrays import Array
from segkit.scenes.camera import Rig
from segkit.scenes.look import KITTI, Look
from segkit.scenes.objects import SideRoad, Thing
from segkit.scenes.section import Section

NEAREST, FARTHEST = 2.0, 130.0
"""Ground is painted and labelled between these distances in metres; beyond stands the backdrop."""


@dataclass(frozen=True)
class CentreLine:
    """The road's course: sideways metres as a sum of sines of the way along it."""

    amplitudes: tuple[float, ...]
    lengths: tuple[float, ...]
    phases: tuple[float, ...]

    def sideways(self, s: Array) -> Array:
        """Metres to the right at ``s`` metres along."""
        waves = zip(self.amplitudes, self.lengths, self.phases, strict=True)
        return sum((a * np.sin(s / length + phase) for a, length, phase in waves), np.zeros_like(s))

    def slope(self, s: float) -> float:
        """Metres to the right per metre along."""
        waves = zip(self.amplitudes, self.lengths, self.phases, strict=True)
        return float(sum(a / length * np.cos(s / length + phase) for a, length, phase in waves))


@dataclass(frozen=True)
class Light:
    """The drive's weather: ``shadow`` is metres (sideways, ahead) that a shadow falls per metre of height.

    ``ground`` and ``things`` are the shares of daylight that reach them, 0…1, as at dusk or against the sun.
    """

    sunny: bool
    shadow: tuple[float, float]
    shade: tuple[float, float, float]
    sky: tuple[float, float, float]
    horizon: tuple[float, float, float]
    clouds: float
    haze: float
    gain: float
    balance: tuple[float, float, float]
    contrast: float
    noise: float
    ground: float = 1.0
    things: float = 1.0


# Compared by identity: a drive is drawn once, and its many things make a slow key for what is cached of it.
@dataclass(frozen=True, eq=False)
class Drive:
    """Some consecutive frames along one road. ``key`` seeds whatever is drawn at random while painting.

    The road goes on for ``ends`` metres, where a cross road closes it.
    """

    key: tuple[int, ...]
    rig: Rig
    frames: int
    step: float
    line: CentreLine
    section: Section
    light: Light
    side_roads: tuple[SideRoad, ...]
    things: tuple[Thing, ...] = field(repr=False)
    ends: float = np.inf
    look: Look = KITTI

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of its pictures in pixels."""
        return self.rig[:2]

    def surface(self, d: Array, s: Array) -> tuple[Array, Array, Array]:
        """Which points (d, s) of the ground, metres, are (road, ego lane, not scored): three boolean arrays."""
        section = self.section
        road = (d >= section.road[0]) & (d < section.road[1])
        lane = (d >= section.lane[0]) & (d < section.lane[1])
        unscored = np.zeros_like(road)
        for left, right in section.unscored:
            unscored |= (d >= left) & (d < right)
        for side_road in self.side_roads:
            unscored |= side_road.inside(section.road, d, s)
        ahead = s < self.ends
        if self.look.every_road:
            return (road | unscored) & ahead, lane & ahead, np.zeros_like(road)
        return road & ahead, lane & ahead, unscored & ahead


def between(drawn: Callable[[int], Array], frame: float) -> Array:
    """What is ``drawn`` of a whole frame, and smoothly in between."""
    whole = int(frame)
    if frame == whole:
        return drawn(whole)
    share = (1 - np.cos(np.pi * (frame - whole))) / 2
    return (1 - share) * drawn(whole) + share * drawn(whole + 1)


@dataclass(frozen=True)
class View:
    """One frame: the camera stands at (``d``, ``s``) metres, turned to the right of the road by ``yaw`` radians.

    Along a drive there are views between frames too, at parts of their numbers.
    """

    drive: Drive
    frame: float
    s: float
    d: float
    yaw: float
    calibration: Calibration

    def centre(self, z: Array) -> Array:
        """x in metres of d = 0 at the distances ``z`` ahead."""
        line = self.drive.line
        here = line.sideways(np.array(self.s))
        return line.sideways(self.s + z) - here - (line.slope(self.s) + self.yaw) * z - self.d

    def drive_coordinates(self, x: Array, z: Array) -> tuple[Array, Array]:
        """The calibration's (x, z) to (d, s) of the drive, metres."""
        return x - self.centre(z), z + self.s

    def surface(self, x: Array, z: Array) -> tuple[Array, Array, Array]:
        """Which points of the road plane, metres, are (road, ego lane, not scored): three boolean arrays."""
        return self.drive.surface(*self.drive_coordinates(x, z))
