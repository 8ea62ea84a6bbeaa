"""The picture being painted: shapes given in drive coordinates, lit and hazed, each pixel noting what painted it."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from segkit.scenes.arrays import Array
from segkit.scenes.classes import ObjectId
from segkit.scenes.layout import FARTHEST, Drive, View
from segkit.scenes.textures import (
    Colour,
    anything,
    bare_crown,
    crown,
    foliage,
    house_front,
    shop_front,
    stone_wall,
)

Point = tuple[float, float, float]
_NEAR = 1.0
_MARGIN = 60
_DEPTH = 0.3
_PLAIN: Colour = (1.0, 1.0, 1.0)
_NOWHERE = np.empty((0, 2), np.float32), np.empty(0)


class Face(NamedTuple):
    """One painted surface: what it is, which thing it belongs to, and its corners.

    ``pixels`` is (N, 2) float32 and ``depth`` (N,), the corners' metres before the camera; both are empty where a
    surface has no place in the scene.
    """

    label: ObjectId
    thing: int
    pixels: Array
    depth: Array


class Canvas:
    """``image`` is uint8 (H, W, 3) BGR; ``shown`` (H, W) says what a pixel shows, 0 where nothing stands before the
    ground or the sky: label ids, uint8, or, for a canvas that keeps its ``faces``, their numbers from 1, uint16.

    Points are (d, s, h): metres across and along the drive, and above the road.
    """

    def __init__(self, view: View, image: Array, keep_faces: bool = False) -> None:
        self.view = view
        self.image = image
        # OpenCV fills bytes many times faster than anything wider.
        self.shown: Array = np.zeros(image.shape[:2], np.uint16 if keep_faces else np.uint8)
        self.faces: list[Face] = []
        self._keep_faces = keep_faces
        self.label = ObjectId.STATIC
        self._thing = 0
        self._course = view.centre(np.arange(0.0, FARTHEST + 20, 0.5))
        self._steps = np.arange(len(self._course))
        self._matrix = view.calibration.projection()

    def begin(self, label: ObjectId) -> None:
        """Start another thing: what is painted from now on belongs to it. A part of it may set another ``label``."""
        self._thing += 1
        self.label = label

    def note(self, pixels: Array = _NOWHERE[0], depth: Array = _NOWHERE[1]) -> int:
        """Add a face of the thing begun last; returns what its pixels get in ``shown``."""
        if not self._keep_faces:
            return int(self.label)
        self.faces.append(Face(self.label, self._thing, pixels, depth))
        return len(self.faces)

    def pixels(self, points: Sequence[Point]) -> Array:
        """(N, 2) float32 pixels of N points; what lies behind the camera is moved ahead, just before it."""
        return self._project(points)[0]

    def _project(self, points: Sequence[Point]) -> tuple[Array, Array]:
        """Pixels as ``pixels`` gives them, and (N,) depths in metres."""
        d, s, h = np.array(points, np.float64).T
        z = np.maximum(s - self.view.s, _NEAR)
        x = d + np.interp(z * 2, self._steps, self._course)
        points_ahead = np.ones((4, len(z)))
        points_ahead[0], points_ahead[1], points_ahead[2] = x, -h, z
        u, v, w = self._matrix @ points_ahead
        if w.min() < _DEPTH:  # above a camera that looks down
            points_ahead[2] += np.maximum(_DEPTH - w, 0) / self._matrix[2, 2]
            u, v, w = self._matrix @ points_ahead
        found = np.empty((len(z), 2), np.float32)
        found[:, 0], found[:, 1] = u / w, v / w
        return found, w

    def beside(self, first: float, last: float, near: float, far: float) -> bool:
        """Whether what lies from ``first`` to ``last`` across and ``near`` to ``far`` along is left or right of the
        picture: surely so where True."""
        if near - self.view.s < 3:
            return False
        u = self.pixels([(d, s, h) for d in (first, last) for s in (near, far) for h in (0.0, 10.0)])[:, 0]
        return bool(u.max() < -_MARGIN or u.min() > self.image.shape[1] + _MARGIN)

    def distance(self, s: float) -> float:
        """Metres ahead of the camera."""
        return max(s - self.view.s, _NEAR)

    def colour(self, colour: Colour, light: float, s: float) -> Colour:
        """A colour as it looks in ``light`` (1 is full sun) through the air up to ``s``."""
        light *= self.view.drive.light.things
        clear, haze = np.exp(-self.distance(s) / self.view.drive.light.haze), self.view.drive.light.horizon
        blue, green, red = (clear * light * c + (1 - clear) * 0.85 * h for c, h in zip(colour, haze, strict=True))
        return (blue, green, red)

    def face_light(self, towards: tuple[float, float]) -> float:
        """Light on an upright face whose outward normal is ``towards`` (across, along)."""
        light = self.view.drive.light
        if not light.sunny:
            return 0.8
        across, along = light.shadow
        cosine = -(across * towards[0] + along * towards[1]) / np.hypot(1.0, np.hypot(across, along))
        return 1.05 if cosine > 0.25 else 0.75 if cosine > 0 else light.shade[1] + 0.12

    def polygon(self, points: Sequence[Point], colour: Colour, light: float = 1.0) -> None:
        """Fill the convex hull of some points."""
        pixels, depth = self._project(points)
        outline = cv2.convexHull(pixels)[:, 0]
        # Four fractional bits keep thin poles from jumping by whole pixels; clipping keeps them in OpenCV's range.
        fixed = np.round(np.clip(outline, -8000, 8000) * 16).astype(np.int32)
        cv2.fillConvexPoly(self.image, fixed, self.colour(colour, light, points[0][1]), cv2.LINE_AA, 4)
        cv2.fillConvexPoly(self.shown, fixed, self.note(pixels, depth), cv2.LINE_8, 4)

    def textured(
        self, corners: Sequence[Point], texture: Array, light: float, part: float = 0.0, tint: Colour = _PLAIN
    ) -> None:
        """Stretch a texture (H, W, 3) over four corners: top left, top right, bottom right, bottom left in it.

        ``part``, 0…1, of the texture's left lies behind the camera and is left out. ``tint`` multiplies its colours.
        """
        quad, depth = self._project(corners)
        left, top = np.floor(np.maximum(quad.min(0), 0)).astype(int)
        height, width = self.image.shape[:2]
        right, bottom = np.ceil(np.minimum(quad.max(0) + 1, (width, height))).astype(int)
        if right - left < 1 or bottom - top < 1:
            return
        rows, columns = texture.shape[:2]
        start = part * columns
        source = np.array([(start, 0), (columns, 0), (columns, rows), (start, rows)], np.float32)
        matrix = cv2.getPerspectiveTransform(source, quad - np.array((left, top), np.float32))
        size = (int(right - left), int(bottom - top))
        shade = self._shade(texture, light, corners[0][1], tint)
        # A texture much finer than its place in the picture would sparkle.
        shrink = min(rows / max(size[1], 1), columns / max(size[0], 1))
        if shrink > 2:
            shade = cv2.blur(shade, (int(shrink), int(shrink)))
        warped = cv2.warpPerspective(shade, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros(warped.shape[:2], np.uint8)
        fixed = np.round(np.clip(quad - (left, top), -8000, 8000) * 16).astype(np.int32)
        cv2.fillConvexPoly(mask, fixed, 255, cv2.LINE_8, 4)
        cv2.copyTo(warped, mask, self.image[top:bottom, left:right])
        cv2.fillConvexPoly(self.shown[top:bottom, left:right], fixed, self.note(quad, depth), cv2.LINE_8, 4)

    def sprite(
        self, foot: Point, size: tuple[float, float], sprite: Array, light: float, tint: Colour = _PLAIN
    ) -> None:
        """Paint an upright cut-out (H, W, 4), ``size`` (width, height) in metres, its foot's middle at ``foot``."""
        d, s, h = foot
        corners, depth = self._project([(d - size[0] / 2, s, h), (d + size[0] / 2, s, h + size[1])])
        (left, bottom), (right, top) = corners
        height, width = self.image.shape[:2]
        first = max(int(left), 0), max(int(top), 0)
        last = min(int(np.ceil(right)), width), min(int(np.ceil(bottom)), height)
        if last[0] - first[0] < 1 or last[1] - first[1] < 1:
            return
        across, down = (right - left) / sprite.shape[1], (bottom - top) / sprite.shape[0]
        matrix = np.array([[across, 0, left - first[0]], [0, down, top - first[1]]])
        if across < 0.5:
            small = (max(int(sprite.shape[1] * across), 4), max(int(sprite.shape[0] * down), 4))
            sprite = cv2.resize(sprite, small, interpolation=cv2.INTER_AREA)
            matrix[0, 0], matrix[1, 1] = (right - left) / small[0], (bottom - top) / small[1]
        patch = cv2.warpAffine(sprite, matrix, (last[0] - first[0], last[1] - first[1]), flags=cv2.INTER_LINEAR)
        colour = self._shade(np.ascontiguousarray(patch[..., :3]), light, s, tint)
        alpha = patch[..., 3]
        region = self.image[first[1] : last[1], first[0] : last[0]]
        weight = cv2.merge([alpha] * 3)
        region[:] = cv2.add(
            cv2.multiply(colour, weight, scale=1 / 255), cv2.multiply(region, cv2.bitwise_not(weight), scale=1 / 255)
        )
        shown = self.shown[first[1] : last[1], first[0] : last[0]]
        np.copyto(shown, self.note(corners, depth), where=alpha > 127)

    def _shade(self, texture: Array, light: float, s: float, tint: Colour) -> Array:
        blue, green, red = tint
        black, white = self.colour((0, 0, 0), light, s), self.colour((255 * blue, 255 * green, 255 * red), light, s)
        ramp = np.linspace(black, white, 256)[None]
        return cv2.LUT(texture, np.clip(ramp, 0, 255).astype(np.uint8))


def textures_of(drive: Drive) -> dict[str, list[Array]]:
    """The drive's own fronts, walls, hedges, crowns and bushes, or those that all tinted drives share."""
    return _shared_textures() if drive.look.tinted else _own_textures(drive)


@lru_cache(maxsize=1)
def _shared_textures() -> dict[str, list[Array]]:
    rng = np.random.default_rng(22)
    bushes = [crown(rng, 0.5) for _ in range(6)]
    odd = [anything(rng) for _ in range(24)]
    return {
        "house": [house_front(rng) for _ in range(16)] + [shop_front(rng) for _ in range(16)] + odd[:8],
        "wall": [stone_wall(rng) for _ in range(8)] + odd[8:16],
        "hedge": [foliage(rng, (96, 256)) for _ in range(6)],
        "tree": [crown(rng, rng.uniform(0.2, 0.8)) for _ in range(10)] + [bare_crown(rng) for _ in range(8)],
        "bush": bushes,
        "box": odd,
    }


@lru_cache(maxsize=2)
def _own_textures(drive: Drive) -> dict[str, list[Array]]:
    rng = np.random.default_rng([*drive.key, 4000])
    return {
        "house": [house_front(rng) for _ in range(5)],
        "wall": [stone_wall(rng) for _ in range(2)],
        "hedge": [foliage(rng, (96, 256)) for _ in range(2)],
        "tree": [crown(rng) for _ in range(4)],
        "bush": [crown(rng, 0.5) for _ in range(2)],
    }
