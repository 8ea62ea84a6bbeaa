"""Which drive a picture is of: drives like the real recordings, some frames each, or varied ones, a frame each; and one
along whose road a video is taken."""

from dataclasses import replace
from functools import lru_cache, partial

import numpy as np

from segkit.road.layout import CATEGORIES, PARTS, Category, Part
from segkit.scenes.arrays import Array
from segkit.scenes.camera import RIGS, make_calibration
from segkit.scenes.layout import FARTHEST, CentreLine, Drive, Light, View, between
from segkit.scenes.look import Looks
from segkit.scenes.objects import SideRoad, Thing, furnish
from segkit.scenes.section import make_section
from segkit.scenes.varied import varied_view

FPS = 10
"""Frames a second of a drive along its road, as of KITTI's cameras."""

_DRIVE_FRAMES = (3, 6)
_HEIGHT = 1.65
_LANE, _GAP = 1.6, 8.0
"""Metres beside the camera's line that its car takes up, and ahead of it that stay free."""


def locate(seed: int, part: Part, category: Category, number: int, looks: Looks = "kitti") -> View:
    """The view of picture ``number`` of a category: the same for a seed and looks, whatever else is generated."""
    key = (seed, PARTS.index(part), CATEGORIES.index(category))
    if looks == "varied":
        return varied_view((*key, 1 + number), category)
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
    side_roads: tuple[SideRoad, ...] = ()
    if section.crossable and rng.random() < 0.45:
        side, start = rng.choice(section.crossable), rng.uniform(14.0, frames * step + 35.0)
        side_roads = (SideRoad(int(side), start, start + rng.uniform(5.0, 8.0)),)
    things = furnish(section, way, side_roads, frames, step, rng)
    rig = RIGS[int(rng.choice(len(RIGS), p=(0.55, 0.2, 0.15, 0.1)))]
    return Drive(key, rig, frames, step, line, section, _light(rng), side_roads, things)


def along(seed: int, frames: int, number: int) -> View:
    """The view of frame ``number`` of a drive of so many frames along its road, ``FPS`` a second.

    Every ``FPS``-th is a frame of a drive as ``locate`` finds them, a second after the one before: the car moves on
    between them, sways, and meets the same traffic. Cars ahead that it would run into are not there.
    """
    return _view(_free_drive(seed, frames), number / FPS)


@lru_cache(maxsize=1)
def _free_drive(seed: int, frames: int) -> Drive:
    drive = make_drive(seed, "training", "um", 0, -(-frames // FPS) + 1)

    def in_the_way(thing: Thing) -> bool:
        gaps = [thing.at(second).s - second * drive.step for second in (0, drive.frames)]
        return abs(thing.d) < _LANE and gaps[0] > 0 and gaps[1] < _GAP

    return replace(drive, things=tuple(thing for thing in drive.things if not in_the_way(thing)))


def _view(drive: Drive, frame: float) -> View:
    # Between frames of a drive the car only sways; its road and its place in the lane stay.
    height, pitch, roll, yaw = between(partial(_sway, drive), frame)
    calibration = make_calibration(drive.rig, float(height), float(pitch), float(roll))
    d = 0.25 * float(np.sin(1.3 * frame + drive.line.phases[0]))
    return View(drive, frame, frame * drive.step, d, float(yaw), calibration)


def _sway(drive: Drive, frame: int) -> Array:
    """Height in metres, pitch, roll and yaw in radians."""
    rng = np.random.default_rng([*drive.key, 1 + frame])
    height, pitch = _HEIGHT + rng.uniform(-0.08, 0.08), rng.normal(0.0, 0.007)
    return np.array((height, pitch, np.clip(rng.normal(0.0, 0.008), -0.03, 0.03), rng.normal(0.0, 0.008)))


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
