"""Where the ground lies in shadow: every thing's outline is laid along the sun's direction onto a map over (d, z)."""

import cv2
import numpy as np

from segkit.scenes.arrays import Array
from segkit.scenes.layout import View
from segkit.scenes.objects import Thing
from segkit.scenes.points import Ground
from segkit.scenes.textures import fractal_noise

_STEP, _REACH, _WAY = 0.1, 26.0, 100.0


def light_on_ground(view: View, ground: Ground, things: list[Thing]) -> Array:
    """How lit each ground pixel is: (rows, width) float32, 1 in the sun, 0 in full shadow."""
    shape = (int(_WAY / _STEP), int(2 * _REACH / _STEP))
    lit: Array = np.full(shape, 255, np.uint8)
    leaves = np.full(shape, 255, np.uint8)
    if view.drive.light.sunny:
        for thing in things:
            _cast(view, thing, leaves if thing.kind in ("tree", "bush") else lit)
        holes = fractal_noise(np.random.default_rng([*view.drive.key, 3000]), 256, (20, 50, 90))
        # Light falls through leaves in flecks.
        flecks = np.clip((cv2.resize(holes, shape[::-1]) - 1.1) * 200, 0, 170).astype(np.uint8)
        lit = np.minimum(lit, np.maximum(leaves, flecks))
        _cast_unseen(view, lit)
    under = np.full(shape, 255, np.uint8)
    for thing in things:
        if thing.kind == "car":
            outline = [(-0.1, -0.1), (-0.1, 0.1), (0.1, 0.1), (0.1, -0.1)]
            corners = _footprint(thing)
            spread = [(d + a, s + b) for (d, s), (a, b) in zip(corners, outline, strict=True)]
            _darken(view, under, spread)
    lit = cv2.GaussianBlur(np.minimum(lit, cv2.GaussianBlur(under, (0, 0), 2.0)), (0, 0), 0.8)
    u, v = (ground.d + _REACH) / _STEP, ground.z / _STEP
    seen = cv2.remap(lit, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=255.0)
    return seen.astype(np.float32) / 255


def _footprint(thing: Thing) -> list[tuple[float, float]]:
    if thing.kind in ("house", "wall", "hedge"):
        near, far = thing.d, thing.d + thing.width
    else:
        near, far = thing.d - thing.width / 2, thing.d + thing.width / 2
    end = thing.s + thing.length
    return [(near, thing.s), (near, end), (far, end), (far, thing.s)]


def _darken(view: View, canvas: Array, points: list[tuple[float, float]]) -> None:
    """Put the convex hull of some ground points (d, s) into shadow."""
    places = [((d + _REACH) / _STEP, (s - view.s) / _STEP) for d, s in points]
    hull = cv2.convexHull(np.array(places, np.float32))
    cv2.fillConvexPoly(canvas, np.round(hull).astype(np.int32), 0)


def _cast_unseen(view: View, canvas: Array) -> None:
    """Shadows of houses, trees and bridges that stand where the camera does not look."""
    rng = np.random.default_rng([*view.drive.key, 3001])
    for _ in range(view.drive.look.casts):
        centre = np.array((rng.uniform(-12, 12), view.s + rng.uniform(2, 45)))
        turns = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
        stretch = rng.uniform(0.5, 9, 2)
        ring = centre + np.stack([np.cos(turns), np.sin(turns)], 1) * stretch * rng.uniform(0.6, 1.2, (len(turns), 1))
        _darken(view, canvas, [(float(d), float(s)) for d, s in ring])


def _cast(view: View, thing: Thing, canvas: Array) -> None:
    across, along = view.drive.light.shadow
    if thing.kind in ("tree", "bush"):
        crown = thing.width / 2
        middle = thing.height - crown if thing.kind == "tree" else crown / 2
        centre = (thing.d + across * middle + _REACH, thing.s + along * middle - view.s)
        # A round crown throws an ellipse, longer where the sun is low.
        tall = np.hypot(1.0, np.hypot(across, along))
        angle = np.degrees(np.arctan2(along, across))
        axes = (crown * tall / _STEP, crown / _STEP)
        where = (round(centre[0] / _STEP), round(centre[1] / _STEP))
        cv2.ellipse(canvas, where, (round(axes[0]), round(axes[1])), float(angle), 0, 360, 0, cv2.FILLED)
        if thing.kind == "tree":
            trunk = [(thing.d - 0.15, thing.s), (thing.d + 0.15, thing.s)]
            reach = [(d + across * middle, s + along * middle) for d, s in trunk]
            _darken(view, canvas, trunk + reach)
        return
    foot = _footprint(thing)
    height = thing.height * (0.9 if thing.kind == "car" else 1.0)
    _darken(view, canvas, foot + [(d + across * height, s + along * height) for d, s in foot])
