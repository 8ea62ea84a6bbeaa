"""What stands on and beside a road, in metres: houses, walls, hedges, trees, poles, cars and people."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from segkit.scenes.arrays import Array
from segkit.scenes.section import Section

Kind = Literal[
    "house", "wall", "hedge", "tree", "bush", "pole", "sign", "car", "person", "cyclist", "box", "post", "lorry", "side"
]


@dataclass(frozen=True)
class Thing:
    """One object. ``s`` is its near end and ``length`` its extent along the road; ``d`` is its middle across it.

    For houses, walls and hedges ``d`` is the face towards the road and ``width`` reaches outwards. ``speed`` is
    metres a frame, negative for oncoming. ``style`` picks colour and texture. A box, a row's post, a lorry and a car's
    side across a side road all have the form of a box.
    """

    kind: Kind
    s: float
    d: float
    length: float
    width: float
    height: float
    style: int
    speed: float = 0.0
    oncoming: bool = False

    def at(self, frame: float) -> "Thing":
        """The same thing ``frame`` frames later."""
        return replace(self, s=self.s + self.speed * frame) if self.speed else self


class SideRoad(NamedTuple):
    """A road that joins on the left (``side`` −1) or right (1) from ``start`` to ``end`` metres along.

    Its corners are rounded with a radius of ``corner`` metres.
    """

    side: int
    start: float
    end: float
    corner: float = 0.0

    def margin(self, road: tuple[float, float], d: Array, s: Array) -> tuple[Array, Array]:
        """Which points (d, s) lie beside the ``road``, on this side, and how many metres within this one's borders."""
        outside = d - road[1] if self.side > 0 else road[0] - d
        within = np.minimum(s - self.start, self.end - s)
        if self.corner:
            rest = np.clip(self.corner - outside, 0, self.corner)
            within = within + self.corner - np.sqrt(rest.dtype.type(self.corner) ** 2 - rest**2)
        return d >= road[1] if self.side > 0 else d < road[0], within

    def inside(self, road: tuple[float, float], d: Array, s: Array) -> Array:
        """Which points (d, s), metres, lie on it: boolean."""
        beside, within = self.margin(road, d, s)
        return beside & (within >= 0)


def furnish(
    section: Section,
    way: float,
    side_roads: tuple[SideRoad, ...],
    frames: int,
    step: float,
    rng: np.random.Generator,
) -> tuple[Thing, ...]:
    """Everything along ``way`` metres of a drive of ``frames`` frames, ``step`` metres apart."""
    things: list[Thing] = []
    for side in (-1, 1):
        gaps = [(x.start - x.corner, x.end + x.corner) for x in side_roads if x.side == side]
        standing = [*_frontage(section, side, way, rng), *_roadside(section, side, way, rng)]
        things += [thing for thing in standing if not _blocks(thing, gaps)]
    things += _parked(section, way, side_roads, rng)
    things += _traffic(section, frames, step, rng)
    return tuple(things)


def _blocks(thing: Thing, gaps: list[tuple[float, float]]) -> bool:
    return any(thing.s - 0.5 < end and thing.s + thing.length + 0.5 > start for start, end in gaps)


def draw_style(rng: np.random.Generator) -> int:
    """A number that picks colour and texture of a thing."""
    return int(rng.integers(1 << 16))


def _frontage(section: Section, side: int, way: float, rng: np.random.Generator) -> list[Thing]:
    """Houses, walls, hedges, woods or open land along one side."""
    face = section.frontage[0 if side < 0 else 1]
    kinds = ("house", "wall", "hedge", "wood", "open")
    weights = {"um": (0.3, 0.15, 0.2, 0.2, 0.15), "umm": (0.25, 0.1, 0.15, 0.25, 0.25), "uu": (0.45, 0.2, 0.2, 0.15, 0)}
    things: list[Thing] = []
    s = -12.0
    while s < way:
        kind = str(rng.choice(kinds, p=weights[section.category]))
        run_end = s + rng.uniform(20, 70)
        set_back = rng.uniform(0, 4) if rng.random() < 0.6 else rng.uniform(0, 0.5)
        wall_height = rng.uniform(0.8, 2.6)
        style = draw_style(rng)
        while s < min(run_end, way):
            if kind == "house":
                length, height = rng.uniform(8, 16), rng.uniform(5, 15)
                things.append(Thing("house", s, face + side * set_back, length, side * 10.0, height, draw_style(rng)))
                s += length + (rng.uniform(2, 9) if rng.random() < 0.4 else 0.0)
            elif kind in ("wall", "hedge"):
                # Short pieces keep the painter's order right and let the wall follow a bend.
                height = wall_height + (0.0 if kind == "wall" else rng.uniform(-0.15, 0.15))
                piece: Kind = "wall" if kind == "wall" else "hedge"
                things.append(Thing(piece, s, face, 6.0, side * (0.4 if kind == "wall" else 1.5), height, style))
                if rng.random() < 0.35:
                    things.append(_tree(s + rng.uniform(0, 6), face + side * rng.uniform(3, 9), rng))
                if rng.random() < 0.2:
                    house_d = face + side * rng.uniform(7, 14)
                    things.append(Thing("house", s, house_d, 10.0, side * 9.0, rng.uniform(5, 9), draw_style(rng)))
                s += 6.0
            elif kind == "wood":
                things.append(_tree(s, face + side * rng.uniform(1, 10), rng))
                bush_d = face + side * rng.uniform(0.8, 4)
                things.append(Thing("bush", s, bush_d, 0.5, rng.uniform(2, 4), rng.uniform(1.2, 3.5), draw_style(rng)))
                s += rng.uniform(1.5, 5.0)
            else:
                if rng.random() < 0.3:
                    things.append(_tree(s, face + side * rng.uniform(2, 25), rng))
                s += rng.uniform(5, 12)
    return things


def _tree(s: float, d: float, rng: np.random.Generator) -> Thing:
    height = rng.uniform(4.5, 12.0)
    return Thing("tree", s, d, 0.5, height * rng.uniform(0.45, 0.75), height, draw_style(rng))


def _roadside(section: Section, side: int, way: float, rng: np.random.Generator) -> list[Thing]:
    """Avenue trees, lamps and signs between the road and the frontage, and people on the pavement."""
    edge, face = (section.road[0], section.frontage[0]) if side < 0 else (section.road[1], section.frontage[1])
    things: list[Thing] = []
    verge = next((v for v in section.verges if (v[0] < 0) == (side < 0) and v[1] - v[0] > 0.9), None)
    if verge is not None and rng.random() < 0.7:
        spacing, middle = rng.uniform(7, 16), (verge[0] + verge[1]) / 2
        for s in np.arange(rng.uniform(-5, 5), way, spacing):
            things.append(_tree(float(s + rng.uniform(-1, 1)), float(middle + rng.uniform(-0.2, 0.2)), rng))
    lamp = edge + side * rng.uniform(0.5, 0.9)
    lamp_height = rng.uniform(5, 9)
    for s in np.arange(rng.uniform(5, 25), way, rng.uniform(22, 38)):
        things.append(Thing("pole", float(s), lamp, 0.2, rng.uniform(0.12, 0.3), lamp_height, int(side < 0)))
    for s in rng.uniform(8, way, int(rng.integers(0, 5))):
        things.append(Thing("sign", float(s), edge + side * rng.uniform(0.5, 1.2), 0.1, 0.7, 2.6, draw_style(rng)))
    for s in rng.uniform(8, way, int(rng.integers(0, 5))):
        walk = edge + side * rng.uniform(0.7, max(1.0, abs(face - edge) - 0.3))
        kind: Kind = "person" if rng.random() < 0.6 else "cyclist"
        things.append(Thing(kind, float(s), walk, 0.4, 0.6, rng.uniform(1.6, 1.9), draw_style(rng), rng.uniform(-1, 2)))
    return things


def _car(s: float, d: float, rng: np.random.Generator, speed: float = 0.0, oncoming: bool = False) -> Thing:
    tall = rng.random() < 0.15
    height = rng.uniform(1.9, 2.6) if tall else rng.uniform(1.38, 1.65)
    return Thing("car", s, d, rng.uniform(3.7, 5.0), rng.uniform(1.65, 1.85), height, draw_style(rng), speed, oncoming)


def _parked(section: Section, way: float, side_roads: tuple[SideRoad, ...], rng: np.random.Generator) -> list[Thing]:
    places = [(s.left + s.right) / 2 for s in section.strips if s.material == "parking"]
    if section.category == "uu":
        places += [d for d in (section.road[0] + 0.75, section.road[1] + 0.55) if rng.random() < 0.25 and abs(d) > 2.2]
    elif rng.random() < 0.2:
        places.append(section.road[1] + 1.0)
    things = []
    for d in places:
        s, density = rng.uniform(-4, 20), rng.uniform(0.2, 0.7)
        while s < way:
            if rng.random() < density:
                car = _car(s, d + rng.uniform(-0.15, 0.15), rng, oncoming=bool(d < 0 and rng.random() < 0.7))
                gaps = [(x.start - x.corner, x.end + x.corner) for x in side_roads if x.side * d > 0]
                if not _blocks(car, gaps):
                    things.append(car)
            s += rng.uniform(5.3, 7.0)
    return things


def _traffic(section: Section, frames: int, step: float, rng: np.random.Generator) -> list[Thing]:
    things = []
    lane_width = section.lane[1] - section.lane[0]
    if rng.random() < 0.5:
        speed = step + rng.uniform(-0.6, 0.6)
        things.append(_car(rng.uniform(14, 45), rng.uniform(-0.2, 0.2), rng, speed))
    # um and uu meet oncoming cars on the left of the camera; umm is overtaken there, with the rest far over.
    lanes = []
    if section.category == "umm":
        count = round((section.lane[0] - section.road[0]) / lane_width)
        lanes += [(-(i + 1) * lane_width, False) for i in range(count)]
        if section.road[1] - section.lane[1] > 2:
            lanes.append((lane_width, False))
        lanes += [((left + right) / 2, True) for left, right in section.unscored]
    elif section.category == "um":
        lanes.append((-lane_width, True))
    elif section.road[0] < -3.4:
        lanes.append((section.road[0] + 1.2, True))
    for d, oncoming in lanes:
        speed = -rng.uniform(0.6, 1.3) * step if oncoming else rng.uniform(0.85, 1.15) * step
        reach = frames * step * (2 if oncoming else 1) + 90
        s, spacing = rng.uniform(7, 50), rng.uniform(8, 60)
        while s < reach:
            things.append(_car(s, d + rng.uniform(-0.3, 0.3), rng, speed, oncoming))
            s += 8 + rng.exponential(spacing)
    return things
