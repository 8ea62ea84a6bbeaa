"""Varied drives: a camera, a road, a weather and surfaces of their own for each picture, from wide ranges."""

from dataclasses import replace

import numpy as np

from segkit.road.layout import Category
from segkit.scenes.camera import Rig, make_calibration
from segkit.scenes.layout import FARTHEST, NEAREST, CentreLine, Drive, Light, View
from segkit.scenes.objects import SideRoad, Thing, furnish
from segkit.scenes.section import Marking, Section, Strip, make_section
from segkit.scenes.varied_look import vary_look


def varied_view(key: tuple[int, ...], category: Category) -> View:
    """The view that ``key`` draws: the only one of its drive."""
    rng = np.random.default_rng([*key, 9000])
    line = _line(rng)
    section = _widened(make_section(category, rng), rng)
    side_roads, ends = _junctions(section, rng)
    things = furnish(section, FARTHEST, side_roads, 1, 8.0, rng)
    things = (*_before(things, ends), *_clutter(section, side_roads, rng))
    rig = _rig(rng)
    if np.isfinite(ends):
        things = (*things, *_facing(ends, rng))
    left, right = section.road
    d = rng.normal(0, 0.4) if rng.random() < 0.5 else rng.uniform(left + 0.7, max(left + 0.8, right - 0.7))
    # Nothing may stand where the camera is.
    things = tuple(thing for thing in things if _leaves_room(thing, float(d)))
    drive = Drive(key, rig, 1, 8.0, line, section, _light(rng), side_roads, things, ends, vary_look(key, rng))
    height, pitch, roll = _pose(rig, rng)
    straight = View(drive, 0, 0.0, float(d), 0.0, make_calibration(rig, height, pitch, roll))
    yaw = rng.normal(0, 0.03) if rng.random() < 0.65 else rng.uniform(-0.4, 0.4)
    # However the camera is turned, the road's middle 14 m ahead is in the picture.
    middle = (straight.centre(np.array(14.0)) + (left + right) / 2) / 14.0
    reach = 0.4 * rig.width / rig.focal
    return replace(straight, yaw=float(np.clip(yaw, middle - reach, middle + reach)))


def _leaves_room(thing: Thing, d: float) -> bool:
    """Whether a camera at (``d``, 0) can stand where it does with the thing there, and sees more than the thing."""
    if thing.kind in ("house", "wall", "hedge"):
        near, far = sorted((thing.d, thing.d + thing.width))
        return thing.s > 4 or thing.s + thing.length < 0 or not near - 1.2 < d < far + 1.2
    clear = abs(thing.d - d) > 1.3 + thing.width / 2
    return thing.s > 9 or thing.s + thing.length < -1 or (clear and (thing.s > 2.5 or thing.kind == "car"))


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
    amplitudes = tuple(min(curvature * part * length, 0.2) * length for part, length in zip(shares, lengths, strict=True))
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


def _before(things: tuple[Thing, ...], ends: float) -> tuple[Thing, ...]:
    return tuple(thing for thing in things if thing.s + thing.length < ends)


def _facing(ends: float, rng: np.random.Generator) -> list[Thing]:
    """Houses, hedges and trees beyond the end of the road, side by side."""
    things: list[Thing] = []
    d, s = -60.0, ends + rng.uniform(2, 9)
    while d < 60:
        width = rng.uniform(6, 18)
        kind = rng.choice(("house", "house", "hedge", "tree"))
        style = int(rng.integers(1 << 16))
        if kind == "tree":
            things.append(Thing("tree", s, d + width / 2, 0.5, rng.uniform(4, 8), rng.uniform(5, 12), style))
        else:
            height = rng.uniform(4, 15) if kind == "house" else rng.uniform(1, 3)
            things.append(Thing("house" if kind == "house" else "hedge", s, d, 9.0, width, height, style))
        d += width
    return things


def _clutter(section: Section, side_roads: tuple[SideRoad, ...], rng: np.random.Generator) -> list[Thing]:
    """Bins, posts, kiosks, lorries and boxes that nothing is like; cars parked at the kerbs; people anywhere."""
    things: list[Thing] = []
    left, right = section.road

    def style() -> int:
        return int(rng.integers(1 << 16))

    for _ in range(int(rng.integers(0, 9))):
        side = int(rng.choice((-1, 1)))
        d = (right if side > 0 else left) + side * rng.uniform(0.5, 8)
        width, height = np.exp(rng.uniform(np.log(0.1), np.log(3.0))), np.exp(rng.uniform(np.log(0.4), np.log(4.0)))
        d += side * width / 2
        things.append(Thing("box", rng.uniform(2, 60), d, rng.uniform(0.1, 4), width, height, style()))
    if rng.random() < 0.25:  # a row of posts along the kerb
        side, spacing, height = int(rng.choice((-1, 1))), rng.uniform(1.2, 4), rng.uniform(0.6, 1.2)
        d, same = (right if side > 0 else left) + side * rng.uniform(0.25, 0.8), style()
        things += [Thing("box", s, d, 0.12, 0.12, height, same) for s in np.arange(rng.uniform(1, 6), 60, spacing)]
    for side in (-1, 1):
        if rng.random() < 0.45 and right - left > 6:
            d, density, s = (right - 1.0 if side > 0 else left + 1.0), rng.uniform(0.3, 1.0), rng.uniform(-4, 8)
            while s < 90:
                length, height = rng.uniform(3.6, 5.0), rng.uniform(1.35, 2.2)
                blocked = any(x.side == side and s < x.end + x.corner and s + 5 > x.start - x.corner for x in side_roads)
                if rng.random() < density and not blocked:
                    oncoming = bool(rng.random() < 0.5)
                    things.append(
                        Thing("car", s, d + rng.uniform(-0.2, 0.2), length, 1.75, height, style(), 0.0, oncoming)
                    )
                s += rng.uniform(5.3, 6.5)
    for _ in range(int(rng.integers(0, 3)) if rng.random() < 0.4 else 0):  # lorries, buses and cars on the road
        s, d = rng.uniform(9, 50), rng.uniform(left + 1.2, max(left + 1.3, right - 1.2))
        if rng.random() < 0.4:
            things.append(Thing("box", s, d, rng.uniform(5, 11), rng.uniform(2.0, 2.5), rng.uniform(2.2, 3.8), style()))
        else:
            oncoming = bool(rng.random() < 0.5)
            things.append(Thing("car", s, d, 4.4, 1.75, rng.uniform(1.4, 2.2), style(), 0.0, oncoming))
    for side_road in side_roads:  # cars across, seen from their side
        if rng.random() < 0.4:
            d = (right if side_road.side > 0 else left) + side_road.side * rng.uniform(3, 25)
            s = (side_road.start + side_road.end) / 2
            things.append(Thing("box", s, d, 1.8, rng.uniform(3.8, 5), rng.uniform(1.4, 2), style()))
    for _ in range(int(rng.integers(0, 7))):
        d = rng.uniform(left - 4, right + 4)
        kind = "person" if rng.random() < 0.6 else "cyclist"
        tall = rng.uniform(1.5, 1.95)
        things.append(Thing("person" if kind == "person" else "cyclist", rng.uniform(4, 40), d, 0.4, 0.6, tall, style()))
    return things


def _light(rng: np.random.Generator) -> Light:
    """Any hour and weather: full sun with black or pale shadows, grey days, dusk, and light from behind the houses."""
    sunny = bool(rng.random() < 0.6)
    depth = rng.uniform(0.12, 0.6) if sunny else rng.uniform(0.7, 0.95)
    sky = _sky(rng)
    dusk = rng.random() < 0.27
    ground = float(np.exp(rng.uniform(np.log(0.18), np.log(0.6)))) if dusk else 1.0
    things = ground * rng.uniform(0.7, 1.3) if dusk else rng.uniform(0.25, 1.1) if rng.random() < 0.4 else 1.0
    warm, green = rng.normal(0, 0.04), rng.normal(0, 0.02)
    low = rng.uniform(1.0, 3.0) if rng.random() < 0.3 else 1.2
    return Light(
        sunny=sunny,
        shadow=(float(rng.uniform(-low, low)), float(rng.uniform(-low, low))),
        shade=(depth * rng.uniform(1.0, 1.2), depth, depth * rng.uniform(0.85, 1.0)),
        sky=sky[0],
        horizon=sky[1],
        clouds=float(rng.uniform(0, 1)),
        haze=float(np.exp(rng.uniform(np.log(250), np.log(2000))) if rng.random() < 0.85 else rng.uniform(80, 250)),
        gain=float(np.exp(rng.normal(0.0, 0.28))),
        balance=(float(1 - warm), float(1 + green), float(1 + warm)),
        contrast=float(rng.uniform(0.7, 1.05) if dusk else rng.uniform(0.75, 1.4)),
        noise=float(rng.uniform(0.0, 6.0)),
        ground=ground,
        things=float(min(things, 1.1)),
    )


def _sky(rng: np.random.Generator) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """BGR at the top of the picture and at the horizon."""
    kind = rng.random()
    pale = rng.uniform(205, 255)
    if kind < 0.35:
        top, horizon = (pale, pale, pale), (pale, pale, pale - 4)
    elif kind < 0.75:
        blue = rng.uniform(0.55, 1.05)
        top = (235 * blue, 170 * blue - rng.uniform(0, 30), 105 * blue - rng.uniform(0, 50))
        horizon = (pale, pale - rng.uniform(0, 20), pale - rng.uniform(0, 45))
    else:
        grey = rng.uniform(90, 200)
        top, horizon = (grey * 1.05, grey, grey * 0.95), (pale, pale * 0.98, pale * rng.uniform(0.8, 1.0))
    return top, horizon
