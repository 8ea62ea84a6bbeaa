"""One picture of a drive and its labels: sky, backdrop, ground, shadows, things from far to near, and the camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import cv2
import numpy as np

from segkit.data.records import IGNORE_INDEX
from segkit.scenes.arrays import Array
from segkit.scenes.canvas import Canvas
from segkit.scenes.classes import ObjectId
from segkit.scenes.effects import mirror_ground, paint_bonnet, record
from segkit.scenes.ground import paint_ground
from segkit.scenes.labels import Extra, draw_labels
from segkit.scenes.layout import FARTHEST, Light, View, between
from segkit.scenes.painters import paint_thing
from segkit.scenes.points import Ground, ground_points
from segkit.scenes.shadows import light_on_ground
from segkit.scenes.textures import smooth_noise

_NOISE = 512


@dataclass(frozen=True)
class Picture:
    """``image`` uint8 (H, W, 3) RGB; ``road`` and ``lane`` uint8 (H, W): 1 road, 0 other, 255 not scored.

    ``hidden`` is bool (H, W): the ground there lies behind a thing or is not painted. ``also`` holds the labels that
    were asked for beside these.
    """

    image: Array
    road: Array
    lane: Array
    hidden: Array
    also: dict[Extra, Array]


def render(view: View, also: Sequence[Extra] = ()) -> Picture:
    """Paint a view: the same bytes for the same view, whatever labels are wanted ``also``."""
    light = view.drive.light
    things = [thing.at(view.frame) for thing in view.drive.things]
    ground = ground_points(view)
    sun = light_on_ground(view, ground, [t for t in things if -40 < t.s - view.s < 130])
    image = _sky(view, ground.top)
    painted = _lit(paint_ground(view, ground), sun, ground, light)
    cv2.copyTo(painted, (~ground.beyond).astype(np.uint8), image[ground.top :])
    canvas = Canvas(view, image, keep_faces="instance" in also or "depth" in also)
    _backdrop(canvas)
    for thing in sorted(things, key=lambda thing: -(thing.s + thing.length)):
        if thing.s + thing.length - view.s > 2.5 and thing.s - view.s < FARTHEST - 5:
            paint_thing(canvas, thing)
    look = view.drive.look
    if look.wet:
        mirror_ground(canvas, ground.top, look.wet)
    if look.bonnet:
        paint_bonnet(canvas, look.bonnet)
    road, lane, hidden = _labels(view, ground, canvas.shown)
    labels = draw_labels(view, ground, canvas, also)
    image = _camera(canvas.image, ground.top, view)
    return Picture(record(image, look.lens) if look.lens else image, road, lane, hidden, labels)


def _lit(planes: tuple[Array, Array, Array], sun: Array, ground: Ground, light: Light) -> Array:
    """Shadows and haze over the sunlit ground: (rows, width, 3) uint8 BGR."""
    clear = np.exp(ground.z / np.float32(-light.haze))
    veil = np.float32(0.85) * (1 - clear)
    lit = []
    for plane, shade, horizon in zip(planes, light.shade, light.horizon, strict=True):
        # Under a grey sky only what stands close above the ground darkens it.
        dark, full = (shade, 1.0) if light.sunny else (0.75 * shade, shade)
        dark, full = dark * light.ground, full * light.ground
        brightness = np.float32(dark) + np.float32(full - dark) * sun
        lit.append(plane * brightness * clear + veil * np.float32(horizon))
    return cv2.convertScaleAbs(cv2.merge(lit))


def _labels(view: View, ground: Ground, painted: Array) -> tuple[Array, Array, Array]:
    hidden = painted > 0
    hidden[: ground.top] = True
    hidden[ground.top :] |= ground.beyond
    on_road, on_lane, unscored = view.drive.surface(ground.d, ground.z + np.float32(view.s))
    labels = []
    for inside in (on_road, on_lane):
        label = np.zeros(painted.shape, np.uint8)
        label[ground.top :] = np.where(unscored, IGNORE_INDEX, inside)
        label[hidden] = 0
        labels.append(label)
    return labels[0], labels[1], hidden


def _sky(view: View, horizon: int) -> Array:
    width, height = view.drive.size
    light = view.drive.light
    fixed = np.random.default_rng([*view.drive.key, 6000])
    small = (height // 4, width // 4)  # nothing in a sky is sharp
    down = np.clip(np.arange(small[0], dtype=np.float32) * 4 / max(horizon, 1), 0, 1)[:, None, None]
    sky = (1 - down) * np.array(light.sky, np.float32) + down * np.array(light.horizon, np.float32)
    clouds = smooth_noise(fixed, small, (7, 9)) + 0.6 * smooth_noise(fixed, small, (20, 26))
    cover = np.clip((clouds + 2 * light.clouds - 1) * 0.5, 0, 1)[..., None] * np.float32(0.85)
    return cv2.resize((sky + cover * (248 - sky)).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)


def _backdrop(canvas: Canvas) -> None:
    """Far hills, woods and roofs close the view where the ground ends."""
    view = canvas.view
    fixed = np.random.default_rng([*view.drive.key, 7000])
    matrix = view.calibration.projection()
    x = np.linspace(-160, 160, 600)
    foot = np.stack([x, np.zeros_like(x), np.full_like(x, FARTHEST)], 1)
    canvas.begin(ObjectId.VEGETATION)
    for far, most, cells, colour in ((3.0, 14.0, 7, (70, 88, 78)), (1.0, 7.0, 60, (38, 62, 52))):
        rise = 0.22 * smooth_noise(fixed, (1, 600), (1, cells))[0]
        tall = most * (0.5 + 0.35 * fixed.standard_normal() + rise).clip(0.12)
        edge = foot.copy()
        edge[:, 1] = -tall
        edge[:, 0] += 0.5 * view.frame
        points = np.concatenate([edge, foot[::-1] + np.array((0, 0.3, 0))])
        projected = points @ matrix[:, :3].T + matrix[:, 3]
        outline = np.round(np.clip(projected[:, :2] / projected[:, 2:], -4000, 5000)).astype(np.int32)
        cv2.fillPoly(canvas.image, [outline], canvas.colour(colour, 0.9, view.s + FARTHEST * far))
        cv2.fillPoly(canvas.shown, [outline], canvas.note(projected[:, :2] / projected[:, 2:], projected[:, 2]))


@lru_cache(maxsize=1)
def _grain() -> Array:
    """A tile of noise, 64 to the unit."""
    rng = np.random.default_rng(21)
    noise = rng.standard_normal((_NOISE, _NOISE, 1), dtype=np.float32)
    noise = noise + 0.4 * rng.standard_normal((_NOISE, _NOISE, 3), dtype=np.float32)
    return np.tile((noise * 64).astype(np.int16), (2, 4, 1))


def _exposure(view: View, frame: int) -> Array:
    return np.array(np.random.default_rng([*view.drive.key, 5000, frame]).normal(0.0, 0.06))


def _camera(image: Array, horizon: int, view: View) -> Array:
    """Blur, exposure, white balance, contrast and noise of a real camera; BGR in, RGB out."""
    light, part = view.drive.light, round(1000 * (view.frame % 1))
    rng = np.random.default_rng([*view.drive.key, 5000, int(view.frame), *([part] if part else [])])
    rng.normal()  # the frame's exposure
    image = cv2.GaussianBlur(image, (0, 0), 0.6)
    band = image[max(horizon - 30, 0) : horizon + 22]
    band[:] = cv2.GaussianBlur(band, (0, 0), 0.8)
    gain = light.gain * np.exp(between(partial(_exposure, view), view.frame))
    ramp = np.arange(256, dtype=np.float32)[:, None] / 255 * gain * np.array(light.balance, np.float32)
    # An S around mid grey, then a soft shoulder where real pictures burn out.
    ramp = 0.45 + (ramp - 0.45) * light.contrast
    ramp = np.where(ramp > 0.85, 0.85 + 0.3 * np.tanh((ramp - 0.85) / 0.3), np.maximum(ramp, 0.02 + 0.15 * ramp))
    image = cv2.LUT(image, (np.clip(ramp, 0, 1) * 255).astype(np.uint8)[None])
    rows, columns = image.shape[:2]
    top, left = rng.integers(0, _NOISE, 2)
    noise = _grain()[top : top + rows, left : left + columns]
    scaled = np.multiply(noise, light.noise / 64).astype(np.int16)
    return cv2.cvtColor(cv2.add(image, scaled, dtype=cv2.CV_8U), cv2.COLOR_BGR2RGB)
