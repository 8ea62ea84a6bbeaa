"""Marks at one place of a road: patches, stains, cracks and manholes, and what is painted on it but for lines."""

from collections.abc import Callable

import cv2
import numpy as np

from segkit.scenes.arrays import Array
from segkit.scenes.layout import NEAREST, View
from segkit.scenes.points import Ground
from segkit.scenes.section import Section

_STEP, _REACH, _WAY = 0.05, 13.0, 60.0


def marks_near(view: View, ground: Ground) -> tuple[Array, Array]:
    """Tone (1 is unmarked) and white paint, 0…1, of each ground pixel: two (rows, width) float32."""
    tone, white = _maps(view)
    u, v = (ground.d + _REACH) / _STEP, (ground.z - NEAREST) / _STEP
    return (
        cv2.remap(tone, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=1.0),
        cv2.remap(white, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0),
    )


def _maps(view: View) -> tuple[Array, Array]:
    """Maps over (d, z) near the camera: tone of patches, cracks and manholes, and white of arrows and crossings."""
    shape = (int(_WAY / _STEP), int(2 * _REACH / _STEP))
    tone, white = np.ones(shape, np.float32), np.zeros(shape, np.float32)
    section = view.drive.section
    left, right = section.road
    fixed = np.random.default_rng([*view.drive.key, 2000])
    way = view.drive.frames * view.drive.step + _WAY
    marks = view.drive.look.marks

    def at(d: float, s: float) -> tuple[int, int]:
        return round((d + _REACH) / _STEP), round((s - view.s - NEAREST) / _STEP)

    for s in fixed.uniform(0, way, int(way * fixed.uniform(0, marks.patches))):
        d, length, width = fixed.uniform(left, right - 0.5), fixed.uniform(0.8, 14), fixed.uniform(0.6, 2.5)
        cv2.rectangle(tone, at(d, s), at(min(d + width, right), s + length), fixed.uniform(0.72, 1.18), cv2.FILLED)
    for s in fixed.uniform(0, way, int(way * fixed.uniform(0, marks.cracks))):
        across = np.clip(fixed.uniform(left, right) + np.cumsum(fixed.normal(0, 0.25, 12)), left, right)
        steps = s + np.linspace(0, fixed.uniform(3, 15), 12)
        course = np.array([at(float(a), float(b)) for a, b in zip(across, steps, strict=True)])
        cv2.polylines(tone, [course.astype(np.int32)], False, fixed.uniform(0.5, 0.75), 1)
    for s in fixed.uniform(0, way, int(way / 18)):
        d = fixed.uniform(left + 0.5, right - 0.5)
        cv2.circle(tone, at(d, s), 6, fixed.uniform(0.5, 0.75), cv2.FILLED)
        cv2.circle(tone, at(d, s), 6, 0.6, 1)
    if section.category != "uu" and fixed.random() < marks.arrows:
        for s in np.arange(fixed.uniform(0, 15), way, fixed.uniform(18, 30)):
            _arrow(white, at((section.lane[0] + section.lane[1]) / 2, float(s)))
    if fixed.random() < marks.crossing:
        s = fixed.uniform(10, way)
        for d in np.arange(left + 0.4, right - 0.5, 1.0):
            cv2.rectangle(white, at(float(d), s), at(float(d) + 0.5, s + 3.0), 1.0, cv2.FILLED)
    if fixed.random() < marks.resurfaced:
        s, parts = fixed.uniform(-20, way), (left, section.lane[0], section.lane[1], right)
        first = int(fixed.integers(3))
        last = int(fixed.integers(first + 1, 4))
        end = at(parts[last], s + fixed.uniform(8, 60))
        cv2.rectangle(tone, at(parts[first], s), end, fixed.uniform(0.55, 1.4), cv2.FILLED)
    for s in fixed.uniform(0, way, int(way * fixed.uniform(0, marks.stains))):
        axes = round(fixed.uniform(0.1, 1.2) / _STEP), round(fixed.uniform(0.2, 3.0) / _STEP)
        where = at(fixed.uniform(left, right), s)
        cv2.ellipse(tone, where, axes, 0, 0, 360, fixed.uniform(0.5, 1.3), cv2.FILLED)
    if fixed.random() < marks.stop_line:
        s, start = fixed.uniform(4, 30), section.lane[0] if fixed.random() < 0.6 else left + 0.2
        cv2.rectangle(white, at(start, s), at(right - 0.2, s + fixed.uniform(0.2, 0.5)), 1.0, cv2.FILLED)
    if fixed.random() < marks.box:
        _hatching(white, at, section, fixed)
    for s in fixed.uniform(2, way, int(fixed.integers(1, 4)) if fixed.random() < marks.signs else 0):
        _letters(white, at(fixed.uniform(left, max(left, right - 2.5)), s), fixed)
    return cv2.GaussianBlur(tone, (0, 0), 0.7), cv2.GaussianBlur(white, (0, 0), 0.7)


def _hatching(
    white: Array, at: Callable[[float, float], tuple[int, int]], section: Section, rng: np.random.Generator
) -> None:
    """Slanted lines in a frame, crossed by others where it is a box junction."""
    left, right = section.road
    first, last = np.sort(rng.uniform(left, right, 2)) if rng.random() < 0.5 else (left + 0.2, right - 0.2)
    s, length = rng.uniform(4, 30), rng.uniform(6, 16)
    area = np.zeros_like(white)
    for start in np.arange(s - length, s + 2 * length, rng.uniform(1.5, 3.0)):
        slant = (last - first) * rng.uniform(0.8, 1.2)
        cv2.line(area, at(first, start), at(last, start + slant), 1.0, 3)
        if first == left + 0.2:
            cv2.line(area, at(first, start + slant), at(last, start), 1.0, 3)
    (u, v), (u_last, v_last) = at(first, s), at(last, s + length)
    inside = slice(max(v, 0), max(v_last, 0)), slice(max(u, 0), max(u_last, 0))
    white[inside] = np.maximum(white[inside], area[inside])
    cv2.rectangle(white, (u, v), (u_last, v_last), 1.0, 3)


def _letters(white: Array, foot: tuple[int, int], rng: np.random.Generator) -> None:
    """Letters for drivers: stretched along the road, to be read from here."""
    word = "".join(rng.choice(list("ABEKLNOPSTUWX0357"), int(rng.integers(1, 5))))
    written = np.zeros((30, 24 * len(word)), np.uint8)  # OpenCV 5 writes into no other type
    cv2.putText(written, word, (1, 28), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 1, 4)
    size = round(0.6 * len(word) / _STEP), round(rng.uniform(1.5, 3.0) / _STEP)
    stretched = cv2.resize(written[::-1].astype(np.float32), size)
    u, v = max(foot[0], 0), max(foot[1], 0)
    place = white[v : v + size[1], u : u + size[0]]
    np.maximum(place, stretched[: place.shape[0], : place.shape[1]], out=place)


def _arrow(white: Array, foot: tuple[int, int]) -> None:
    u, v = foot
    stem, head = round(2.6 / _STEP), round(4.0 / _STEP)
    cv2.rectangle(white, (u - 2, v), (u + 2, v + stem), 1.0, cv2.FILLED)
    tip = np.array([(u - 8, v + stem), (u + 8, v + stem), (u, v + head)], np.int32)
    cv2.fillConvexPoly(white, tip, 1.0)
