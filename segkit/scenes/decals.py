"""Marks at one place of a road: patches, cracks, manholes, arrows and crossings."""

import cv2
import numpy as np

from segkit.scenes.arrays import Array
from segkit.scenes.layout import NEAREST, View
from segkit.scenes.points import Ground

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

    def at(d: float, s: float) -> tuple[int, int]:
        return round((d + _REACH) / _STEP), round((s - view.s - NEAREST) / _STEP)

    for s in fixed.uniform(0, way, int(way * fixed.uniform(0, 0.12))):
        d, length, width = fixed.uniform(left, right - 0.5), fixed.uniform(0.8, 14), fixed.uniform(0.6, 2.5)
        cv2.rectangle(tone, at(d, s), at(min(d + width, right), s + length), fixed.uniform(0.72, 1.18), cv2.FILLED)
    for s in fixed.uniform(0, way, int(way * fixed.uniform(0, 0.1))):
        across = np.clip(fixed.uniform(left, right) + np.cumsum(fixed.normal(0, 0.25, 12)), left, right)
        steps = s + np.linspace(0, fixed.uniform(3, 15), 12)
        course = np.array([at(float(a), float(b)) for a, b in zip(across, steps, strict=True)])
        cv2.polylines(tone, [course.astype(np.int32)], False, fixed.uniform(0.5, 0.75), 1)
    for s in fixed.uniform(0, way, int(way / 18)):
        d = fixed.uniform(left + 0.5, right - 0.5)
        cv2.circle(tone, at(d, s), 6, fixed.uniform(0.5, 0.75), cv2.FILLED)
        cv2.circle(tone, at(d, s), 6, 0.6, 1)
    if section.category != "uu" and fixed.random() < 0.4:
        for s in np.arange(fixed.uniform(0, 15), way, fixed.uniform(18, 30)):
            _arrow(white, at((section.lane[0] + section.lane[1]) / 2, float(s)))
    if fixed.random() < 0.12:
        s = fixed.uniform(10, way)
        for d in np.arange(left + 0.4, right - 0.5, 1.0):
            cv2.rectangle(white, at(float(d), s), at(float(d) + 0.5, s + 3.0), 1.0, cv2.FILLED)
    return cv2.GaussianBlur(tone, (0, 0), 0.7), cv2.GaussianBlur(white, (0, 0), 0.7)


def _arrow(white: Array, foot: tuple[int, int]) -> None:
    u, v = foot
    stem, head = round(2.6 / _STEP), round(4.0 / _STEP)
    cv2.rectangle(white, (u - 2, v), (u + 2, v + stem), 1.0, cv2.FILLED)
    tip = np.array([(u - 8, v + stem), (u + 8, v + stem), (u, v + head)], np.int32)
    cv2.fillConvexPoly(white, tip, 1.0)
