"""A random drive in metres: the road's line, what lies across it, and where the camera is in each frame.

Positions are (d, s): ``s`` runs along the road, ``d`` to the right across it, 0 on the line that the camera follows.
Everything across the road keeps its ``d`` for the whole drive, so a picture is a lookup of (d, s) at each ground pixel.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from segkit.road.calibration import Calibration
from segkit.road.layout import CATEGORIES, PARTS, Category, Part
from segkit.scenes.arrays import Array
from segkit.scenes.camera import RIGS, make_calibration
from segkit.scenes.objects import Thing, furnish
from segkit.scenes.section import Section, make_section

NEAREST, FARTHEST = 2.0, 130.0
"""Ground is painted and labelled between these distances in metres; beyond stands the backdrop."""
_DRIVE_FRAMES = (3, 6)
_HEIGHT = 1.65


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
    """The drive's weather: ``shadow`` is metres (sideways, ahead) that a shadow falls per metre of height."""

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


# Compared by identity: a drive is drawn once, and its many things make a slow key for what is cached of it.
@dataclass(frozen=True, eq=False)
class Drive:
    """Some consecutive frames along one road. ``key`` seeds whatever is drawn at random while painting."""

    key: tuple[int, ...]
    rig: int
    frames: int
    step: float
    line: CentreLine
    section: Section
    light: Light
    side_roads: tuple[tuple[int, float, float], ...]
    things: tuple[Thing, ...] = field(repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of its pictures in pixels."""
        return RIGS[self.rig][:2]

    def surface(self, d: Array, s: Array) -> tuple[Array, Array, Array]:
        """Which points (d, s) of the ground, metres, are (road, ego lane, not scored): three boolean arrays."""
        section = self.section
        road = (d >= section.road[0]) & (d < section.road[1])
        lane = (d >= section.lane[0]) & (d < section.lane[1])
        unscored = np.zeros_like(road)
        for left, right in section.unscored:
            unscored |= (d >= left) & (d < right)
        for side, start, end in self.side_roads:
            beyond = d >= section.road[1] if side > 0 else d < section.road[0]
            unscored |= beyond & (s >= start) & (s < end)
        return road, lane, unscored


@dataclass(frozen=True)
class View:
    """One frame: the camera stands at (``d``, ``s``) metres, turned to the right of the road by ``yaw`` radians."""

    drive: Drive
    frame: int
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


def locate(seed: int, part: Part, category: Category, number: int) -> View:
    """The view of picture ``number`` of a category: the same for a seed, whatever else is generated."""
    key = (seed, PARTS.index(part), CATEGORIES.index(category))
    lengths = np.random.default_rng([*key, 0])
    drive, first = 0, 0
    while number >= first + (frames := int(lengths.integers(*_DRIVE_FRAMES, endpoint=True))):
        drive, first = drive + 1, first + frames
    return _view(make_drive(seed, part, category, drive, frames), number - first)


@lru_cache(maxsize=2)
def make_drive(seed: int, part: Part, category: Category, number: int, frames: int) -> Drive:
    """Draw drive ``number`` of a category."""
    key = (seed, PARTS.index(part), CATEGORIES.index(category), 1 + number)
    rng = np.random.default_rng(key)
    curvature = 0.0 if rng.random() < 0.3 else rng.uniform(0.003, 0.012)
    lengths = (rng.uniform(45, 75), rng.uniform(80, 120))
    shares = (rng.uniform(0.3, 0.8), rng.uniform(0.2, 0.5))
    line = CentreLine(
        tuple(curvature * share * length**2 for share, length in zip(shares, lengths, strict=True)),
        lengths,
        tuple(rng.uniform(0, 2 * np.pi, 2)),
    )
    section = make_section(category, rng)
    step = rng.uniform(4.0, 10.0)
    way = frames * step + FARTHEST
    side_roads: tuple[tuple[int, float, float], ...] = ()
    if section.crossable and rng.random() < 0.45:
        side, start = rng.choice(section.crossable), rng.uniform(14.0, frames * step + 35.0)
        side_roads = ((int(side), start, start + rng.uniform(5.0, 8.0)),)
    things = furnish(section, way, side_roads, frames, step, rng)
    rig = int(rng.choice(len(RIGS), p=(0.55, 0.2, 0.15, 0.1)))
    return Drive(key, rig, frames, step, line, section, _light(rng), side_roads, things)


def _view(drive: Drive, frame: int) -> View:
    rng = np.random.default_rng([*drive.key, 1 + frame])
    # Between frames of a drive the car only sways; its road and its place in the lane stay.
    calibration = make_calibration(
        drive.rig,
        height=_HEIGHT + float(rng.uniform(-0.08, 0.08)),
        pitch=float(rng.normal(0.0, 0.007)),
        roll=float(np.clip(rng.normal(0.0, 0.008), -0.03, 0.03)),
    )
    d = 0.25 * float(np.sin(1.3 * frame + drive.line.phases[0]))
    return View(drive, frame, frame * drive.step, d, float(rng.normal(0.0, 0.008)), calibration)


def _light(rng: np.random.Generator) -> Light:
    sunny = bool(rng.random() < 0.72)
    bright = bool(rng.random() < 0.35)
    depth = rng.uniform(0.4, 0.58) if sunny else rng.uniform(0.8, 0.9)
    blue, pale = rng.uniform(0, 30), rng.uniform(225, 255)
    sky = (235.0 - blue / 2, 175.0 - blue, 110.0 - blue) if sunny and not bright else (pale, pale - 4, pale - 10)
    warm = float(np.clip(rng.normal(0.0, 0.018), -0.035, 0.035))
    return Light(
        sunny=sunny,
        shadow=(float(rng.choice((-1, 1)) * rng.uniform(0.35, 1.5)), float(rng.uniform(-1.0, 1.0))),
        shade=(depth * 1.08, depth, depth * 0.95),
        sky=sky,
        horizon=(pale, pale - 5, pale - 14),
        clouds=float(rng.uniform(0.0, 0.7)),
        haze=float(rng.uniform(250.0, 900.0) if rng.random() < 0.8 else rng.uniform(110.0, 200.0)),
        gain=float(np.exp(rng.uniform(-0.25, 0.2))),
        balance=(1.0 - warm, 1.0 + float(rng.normal(0.0, 0.015)), 1.0 + warm),
        contrast=float(rng.uniform(0.95, 1.2)),
        noise=float(rng.uniform(1.0, 4.0)),
    )
