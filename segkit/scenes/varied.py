"""Varied drives: a camera, a road, a weather and surfaces of their own for each picture, from wide ranges."""

from dataclasses import replace

import numpy as np

from segkit.road.layout import Category
from segkit.scenes.camera import Rig, make_calibration
from segkit.scenes.layout import FARTHEST, NEAREST, CentreLine, Drive, View
from segkit.scenes.objects import SideRoad, furnish
from segkit.scenes.section import Marking, Section, Strip, make_section
from segkit.scenes.varied_light import vary_light
from segkit.scenes.varied_look import vary_look
from segkit.scenes.varied_things import clutter, facing, leaves_room


def varied_view(key: tuple[int, ...], category: Category) -> View:
    """The view that ``key`` draws: the only one of its drive."""
    rng = np.random.default_rng([*key, 9000])
    line = _line(rng)
    section = _widened(make_section(category, rng, varied=True), rng)
    side_roads, ends = _junctions(section, rng)
    things = furnish(section, FARTHEST, side_roads, 1, 8.0, rng)
    things = (*(thing for thing in things if thing.s + thing.length < ends), *clutter(section, side_roads, rng))
    rig = _rig(rng)
    if np.isfinite(ends):
        things = (*things, *facing(ends, rng))
    left, right = section.road
    d = rng.normal(0, 0.4) if rng.random() < 0.5 else rng.uniform(left + 0.7, max(left + 0.8, right - 0.7))
    # Nothing may stand where the camera is.
    things = tuple(thing for thing in things if leaves_room(thing, float(d)))
    drive = Drive(key, rig, 1, 8.0, line, section, vary_light(rng), side_roads, things, ends, vary_look(key, rng))
    height, pitch, roll = _pose(rig, rng)
    straight = View(drive, 0, 0.0, float(d), 0.0, make_calibration(rig, height, pitch, roll))
    yaw = rng.normal(0, 0.03) if rng.random() < 0.65 else rng.uniform(-0.4, 0.4)
    # However the camera is turned, the road's middle 14 m ahead is in the picture.
    middle = (straight.centre(np.array(14.0)) + (left + right) / 2) / 14.0
    reach = 0.4 * rig.width / rig.focal
    return replace(straight, yaw=float(np.clip(yaw, middle - reach, middle + reach)))


def _rig(rng: np.random.Generator) -> Rig:
    """Any camera from a narrow to a wide one; its pictures from 5:4 to KITTI's long ones, cut out at any height."""
    height = int(rng.integers(352, 385))
    long = rng.random() < 0.35
    width = round(height * (rng.uniform(2.6, 3.4) if long else rng.uniform(1.25, 2.2)))
    focal = height * float(np.exp(rng.uniform(np.log(1.3 if long else 0.8), np.log(2.2 if long else 1.9))))
    return Rig(width, height, focal, width * rng.uniform(0.46, 0.54), height * rng.uniform(0.4, 0.6), -0.0099)


def _pose(rig: Rig, rng: np.random.Generator) -> tuple[float, float, float]:
    """Height in metres, pitch and roll in radians, so that all ground in the picture is far enough to be painted."""
    pitch = float(np.clip(rng.normal(0, 0.05), -0.12, 0.12))
    horizon = rig.centre_y - rig.focal * np.tan(pitch)
    roll = float(np.clip(rng.normal(0, 0.013), -0.04, 0.04))
    lowest = rig.height - horizon + abs(roll) * rig.width / 2
    height = float(np.exp(rng.uniform(np.log(1.15), np.log(2.5))))
    return max(height, 1.12 * (NEAREST + 0.3) * lowest / rig.focal), pitch, roll


def _line(rng: np.random.Generator) -> CentreLine:
    """Straight, or with bends, some as tight as in a village."""
    if rng.random() < 0.35:
        return CentreLine((), (), ())
    curvature = rng.uniform(0.002, 0.02)
    lengths = (rng.uniform(35, 75), rng.uniform(70, 140))
    shares = (rng.uniform(0.3, 0.8), rng.uniform(0.2, 0.5))
    # Never steeper than 0.2 in each wave, or houses beside the road would stand across it.
    amplitudes = tuple(
        min(curvature * part * length, 0.2) * length for part, length in zip(shares, lengths, strict=True)
    )
    return CentreLine(amplitudes, lengths, tuple(rng.uniform(0, 2 * np.pi, 2)))


def _widened(section: Section, rng: np.random.Generator) -> Section:
    """The section with room beside its lanes, such as for parked cars, and sometimes with few marks or no kerbs."""
    most = 12.0 if rng.random() < 0.12 else 2.5
    more = tuple(float(rng.uniform(0, most)) if rng.random() < 0.5 else 0.0 for _ in range(2))
    left, right = section.road[0] - more[0], section.road[1] + more[1]

    def moved(x: float) -> float:
        return x - more[0] if x <= section.road[0] + 0.01 else x + more[1] if x >= section.road[1] - 0.01 else x

    def spread(pair: tuple[float, float]) -> tuple[float, float]:
        return moved(pair[0]), moved(pair[1])

    bare = rng.random() < 0.04
    strips = []
    for strip in section.strips:
        material = strip.material
        if material in ("curb", "gutter") and bare:
            material = "pavement"
        strips.append(Strip(material, *spread((strip.left, strip.right))))
    markings = section.markings if rng.random() < 0.8 else ()
    if rng.random() < 0.3:
        place = float(rng.uniform(left + 0.3, right - 0.3))
        markings = (*markings, Marking(place, float(rng.uniform(0.08, 0.3)), bool(rng.random() < 0.6)))
    return replace(
        section,
        road=(left, right),
        lane=(max(section.lane[0], left), min(section.lane[1], right)),
        unscored=tuple(spread(pair) for pair in section.unscored),
        strips=tuple(strips),
        markings=markings,
        frontage=spread(section.frontage),
        verges=tuple(spread(pair) for pair in section.verges),
        rails=tuple(moved(rail) for rail in section.rails),
    )


def _junctions(section: Section, rng: np.random.Generator) -> tuple[tuple[SideRoad, ...], float]:
    """Side roads, some of them crossing, and the metres after which the road ends in a cross road."""
    side_roads: list[SideRoad] = []
    if not section.crossable or rng.random() < 0.4:
        return (), np.inf
    if len(section.crossable) == 2 and rng.random() < 0.2:
        start, width = rng.uniform(8, 45), rng.uniform(6, 14)
        corner = rng.uniform(2, 8)
        side_roads = [SideRoad(side, start, start + width, corner) for side in section.crossable]
        return tuple(side_roads), float(start + width)
    for _ in range(int(rng.integers(1, 4))):
        start, width, corner = rng.uniform(2, 60), rng.uniform(4, 13), rng.uniform(0.5, 8)
        sides = section.crossable if rng.random() < 0.35 else (int(rng.choice(section.crossable)),)
        side_roads += [SideRoad(side, start, start + width, corner) for side in sides]
    return tuple(side_roads), np.inf
