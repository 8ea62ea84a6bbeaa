"""What lies across a road: the carriageway with its markings, and the strips beside it, from left to right."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Strip:
    """Ground of one material between ``left`` and ``right`` metres of the line that the camera follows."""

    material: str
    left: float
    right: float


@dataclass(frozen=True)
class Marking:
    """A line painted along the road, ``width`` metres wide around ``d``."""

    d: float
    width: float
    dashed: bool


@dataclass(frozen=True)
class Section:
    """A cross-section. ``road``, ``lane`` (the camera's) and ``unscored`` are (left, right) in metres.

    ``frontage`` is where walls, hedges and houses start on either side, ``crossable`` the sides (−1 left, 1 right)
    where a side road may join, ``dash`` the length and period of broken lines.
    """

    category: str
    road: tuple[float, float]
    lane: tuple[float, float]
    unscored: tuple[tuple[float, float], ...]
    strips: tuple[Strip, ...]
    markings: tuple[Marking, ...]
    frontage: tuple[float, float]
    crossable: tuple[int, ...]
    dash: tuple[float, float]
    verges: tuple[tuple[float, float], ...]
    rails: tuple[float, ...]


# Outwards from the road's edge: (material, least width, greatest width).
_URBAN_SIDES = (
    (("gutter", 0.25, 0.4), ("curb", 0.14, 0.2), ("pavement", 1.6, 3.5)),
    (("curb", 0.14, 0.25), ("pavement", 1.5, 3.0), ("grass", 0.8, 4.0)),
    (("curb", 0.14, 0.25), ("grass", 1.0, 2.5), ("bicycle", 1.5, 2.0), ("pavement", 1.5, 2.5)),
    (("gutter", 0.25, 0.4), ("curb", 0.12, 0.2), ("bicycle", 1.3, 1.8), ("pavement", 1.4, 2.5)),
    (("curb", 0.14, 0.2), ("parking", 2.0, 2.3), ("curb", 0.14, 0.2), ("pavement", 1.5, 3.0)),
    (("curb", 0.15, 0.3), ("tram", 5.4, 6.2), ("curb", 0.14, 0.2), ("pavement", 1.5, 2.5)),
)
_RURAL_SIDES = (
    (("gravel", 0.3, 0.9), ("grass", 3.0, 9.0)),
    (("grass", 1.2, 3.0), ("bicycle", 1.6, 2.2), ("grass", 2.0, 6.0)),
)
_VILLAGE_SIDES = (
    (("curb", 0.12, 0.3), ("pavement", 1.0, 2.5)),
    (("gutter", 0.2, 0.4), ("curb", 0.12, 0.2), ("pavement", 1.2, 2.5), ("grass", 1.0, 3.0)),
    (("gutter", 0.2, 0.5), ("grass", 1.0, 4.0)),
    (("curb", 0.12, 0.2), ("parking", 2.0, 2.3), ("pavement", 1.5, 2.5)),
)
_LINE = 0.14


_VARIED_SIDES = (
    *_URBAN_SIDES,
    *_RURAL_SIDES,
    *_VILLAGE_SIDES,
    (("curb", 0.12, 0.25), ("pavement", 3.0, 8.0)),
    (("curb", 0.14, 0.3), ("pavement", 1.0, 2.0), ("grass", 0.6, 2.0), ("bicycle", 1.5, 2.5)),
    (("curb", 0.14, 0.3), ("tram", 5.4, 6.6), ("curb", 0.14, 0.3), ("grass", 0.5, 3.0)),
    (("curb", 0.14, 0.3), ("tram", 5.4, 6.6), ("pavement", 1.5, 4.0)),
    (("grass", 1.0, 6.0), ("bicycle", 2.0, 3.5), ("grass", 1.0, 6.0)),
)


def make_section(category: str, rng: np.random.Generator, varied: bool = False) -> Section:
    """Draw the cross-section of a road of category ``um``, ``umm`` or ``uu``.

    Its sides are those of towns, villages or the country, as the category has them; ``varied`` ones are any, also such
    as are rare.
    """
    markings: list[Marking] = []
    divided = False
    edge_lines = rng.random() < 0.5
    lane_width = rng.uniform(3.0, 3.7)
    half = lane_width / 2
    if category == "uu":
        width = rng.uniform(4.6, 6.8)
        offset = rng.uniform(-0.05, 0.2) * width
        road, lane = (-width / 2 - offset, width / 2 - offset), (-width / 2 - offset, width / 2 - offset)
    elif category == "um":
        shoulder = rng.uniform(0.15, 0.5)
        lane, road = (-half, half), (-half - lane_width - shoulder, half + shoulder)
        markings.append(Marking(-half, _LINE, bool(rng.random() < 0.8)))
        if edge_lines:
            markings += [Marking(half, _LINE, False), Marking(-half - lane_width, _LINE, False)]
    else:
        divided = rng.random() < 0.5
        right_lanes, left_lanes = int(rng.integers(0, 2)), int(rng.integers(1, 3))
        if not divided and left_lanes + right_lanes == 1:
            left_lanes = 2
        shoulder = rng.uniform(0.15, 0.5)
        lane = (-half, half)
        road = (-half - left_lanes * lane_width - shoulder, half + right_lanes * lane_width + shoulder)
        for index in range(left_lanes + right_lanes):
            solid = not divided and index == 0 and rng.random() < 0.5
            markings.append(Marking(road[0] + shoulder + (index + 1) * lane_width, _LINE, not solid))
        if edge_lines or divided:
            markings += [Marking(road[0] + shoulder, _LINE, False), Marking(road[1] - shoulder, _LINE, False)]

    strips = [Strip("asphalt", *road)]
    unscored: tuple[tuple[float, float], ...] = ()
    frontage = []
    crossable = []
    verges = []
    rails: list[float] = []
    for side in (-1, 1):
        edge = road[0] if side < 0 else road[1]
        plan = list(_VARIED_SIDES[int(rng.integers(len(_VARIED_SIDES)))] if varied else _side_plan(category, rng))
        if side < 0 and divided:
            middle = "tram" if rng.random() < 0.35 else "grass"
            median = ("curb", 0.15, 0.25), (middle, *((5.5, 6.5) if middle == "tram" else (1.0, 4.0)))
            plan = [*median, ("curb", 0.15, 0.25), ("opposite", 6.0, 7.5), *plan]
        for material, least, most in plan:
            outer = edge + side * rng.uniform(least, most)
            strip = Strip(material, min(edge, outer), max(edge, outer))
            strips.append(strip)
            if material == "opposite":
                unscored = ((strip.left, strip.right),)
            if material == "grass":
                verges.append((strip.left, strip.right))
            if material == "tram":
                centre = (edge + outer) / 2
                rails += [centre + x for x in (-2.2, -0.77, 0.77, 2.2)]
            if material == "bicycle":
                markings.append(Marking(edge + side * 0.1, 0.1, bool(rng.random() < 0.3)))
            edge = outer
        frontage.append(edge)
        strips.append(Strip("yard", min(edge, edge + side * 60), max(edge, edge + side * 60)))
        # A side road may not cross tracks or an opposite carriageway.
        if not any(material in ("tram", "opposite") for material, *_ in plan):
            crossable.append(side)
    dash = (rng.uniform(2.5, 6.0), rng.uniform(6.5, 13.0))
    return Section(
        category=category,
        road=road,
        lane=lane,
        unscored=unscored,
        strips=tuple(sorted(strips, key=lambda strip: strip.left)),
        markings=tuple(markings),
        frontage=(frontage[0], frontage[1]),
        crossable=tuple(crossable),
        dash=dash,
        verges=tuple(verges),
        rails=tuple(rails),
    )


def _side_plan(category: str, rng: np.random.Generator) -> tuple[tuple[str, float, float], ...]:
    urban = _RURAL_SIDES if rng.random() < 0.25 else _URBAN_SIDES
    sides = _VILLAGE_SIDES if category == "uu" else urban
    return sides[int(rng.integers(len(sides)))]
