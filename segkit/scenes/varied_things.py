"""What stands about in varied scenes beside what always does, some of it like nothing that is real."""

from collections.abc import Iterator

import numpy as np

from segkit.scenes.objects import SideRoad, Thing, draw_style
from segkit.scenes.section import Section


def leaves_room(thing: Thing, d: float) -> bool:
    """Whether a camera at (``d``, 0) can stand where it does with the thing there, and sees more than the thing."""
    if thing.kind in ("house", "wall", "hedge"):
        near, far = sorted((thing.d, thing.d + thing.width))
        return thing.s > 4 or thing.s + thing.length < 0 or not near - 1.2 < d < far + 1.2
    clear = abs(thing.d - d) > 1.3 + thing.width / 2
    return thing.s > 9 or thing.s + thing.length < -1 or (clear and (thing.s > 2.5 or thing.kind == "car"))


def facing(ends: float, rng: np.random.Generator) -> list[Thing]:
    """Houses, hedges and trees beyond the end of the road, side by side."""
    things: list[Thing] = []
    d, s = -60.0, ends + rng.uniform(2, 9)
    while d < 60:
        width = rng.uniform(6, 18)
        kind = rng.choice(("house", "house", "hedge", "tree"))
        style = draw_style(rng)
        if kind == "tree":
            things.append(Thing("tree", s, d + width / 2, 0.5, rng.uniform(4, 8), rng.uniform(5, 12), style))
        else:
            height = rng.uniform(4, 15) if kind == "house" else rng.uniform(1, 3)
            things.append(Thing("house" if kind == "house" else "hedge", s, d, 9.0, width, height, style))
        d += width
    return things


def clutter(section: Section, side_roads: tuple[SideRoad, ...], rng: np.random.Generator) -> Iterator[Thing]:
    """Boxes and posts beside the road, cars at its edges, on it and on side roads, and people anywhere."""
    yield from _beside(section.road, rng)
    for side in (-1, 1):
        if rng.random() < 0.45 and section.road[1] - section.road[0] > 6:
            yield from _parked(section.road, side, side_roads, rng)
    if rng.random() < 0.4:
        yield from _on_the_road(section.road, rng)
    for side_road in side_roads:
        if rng.random() < 0.4:  # a car across, seen from its side
            d, s = _beyond(section.road, side_road.side, rng.uniform(3, 25)), (side_road.start + side_road.end) / 2
            yield Thing("side", s, d, 1.8, rng.uniform(3.8, 5), rng.uniform(1.4, 2), draw_style(rng))
    left, right = section.road
    for _ in range(int(rng.integers(0, 7))):
        d, s, tall = rng.uniform(left - 4, right + 4), rng.uniform(4, 40), rng.uniform(1.5, 1.95)
        yield Thing("person" if rng.random() < 0.6 else "cyclist", s, d, 0.4, 0.6, tall, draw_style(rng))


def _beyond(road: tuple[float, float], side: int, distance: float) -> float:
    """``d`` at so many metres beyond an edge of the road."""
    return road[1] + distance if side > 0 else road[0] - distance


def _beside(road: tuple[float, float], rng: np.random.Generator) -> Iterator[Thing]:
    """Bins, kiosks and whatever else has the form of a box, and rows of posts along the kerb."""
    for _ in range(int(rng.integers(0, 9))):
        side = int(rng.choice((-1, 1)))
        width, height = np.exp(rng.uniform(np.log((0.1, 0.4)), np.log((3.0, 4.0)))).tolist()
        d = _beyond(road, side, rng.uniform(0.5, 8) + width / 2)
        yield Thing("box", rng.uniform(2, 60), d, rng.uniform(0.1, 4), width, height, draw_style(rng))
    if rng.random() < 0.25:
        d, height, style = (
            _beyond(road, int(rng.choice((-1, 1))), rng.uniform(0.25, 0.8)),
            rng.uniform(0.6, 1.2),
            draw_style(rng),
        )
        for s in np.arange(rng.uniform(1, 6), 60, rng.uniform(1.2, 4)).tolist():
            yield Thing("post", s, d, 0.12, 0.12, height, style)


def _parked(
    road: tuple[float, float], side: int, side_roads: tuple[SideRoad, ...], rng: np.random.Generator
) -> Iterator[Thing]:
    """Cars along an edge of the road, but for where others join."""
    d, density, s = _beyond(road, side, -1.0), rng.uniform(0.3, 1.0), rng.uniform(-4, 8)
    joining = [(x.start - x.corner, x.end + x.corner) for x in side_roads if x.side == side]
    while s < 90:
        if rng.random() < density and not any(s < end and s + 5 > start for start, end in joining):
            yield _car(s, d + rng.uniform(-0.2, 0.2), rng)
        s += rng.uniform(5.3, 6.5)


def _on_the_road(road: tuple[float, float], rng: np.random.Generator) -> Iterator[Thing]:
    """Cars, lorries and buses ahead."""
    for _ in range(int(rng.integers(0, 3))):
        s, d = rng.uniform(9, 50), rng.uniform(road[0] + 1.2, max(road[0] + 1.3, road[1] - 1.2))
        if rng.random() < 0.4:
            length, width, height = rng.uniform((5, 2.0, 2.2), (11, 2.5, 3.8)).tolist()
            yield Thing("lorry", s, d, length, width, height, draw_style(rng))
        else:
            yield _car(s, d, rng)


def _car(s: float, d: float, rng: np.random.Generator) -> Thing:
    length, height, oncoming = rng.uniform(3.6, 5.0), rng.uniform(1.35, 2.2), bool(rng.random() < 0.5)
    return Thing("car", s, d, length, 1.75, height, draw_style(rng), oncoming=oncoming)
