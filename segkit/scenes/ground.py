"""The ground as the camera sees it: each pixel below the horizon looks its (d, s) up in the drive's section."""

from functools import lru_cache

import cv2
import numpy as np

from segkit.scenes.arrays import Array
from segkit.scenes.decals import marks_near
from segkit.scenes.layout import Drive, View
from segkit.scenes.points import Ground
from segkit.scenes.profile import LEVELS, MATERIALS, REACH, RESOLUTION, profiles, shade_of
from segkit.scenes.textures import fractal_noise

_PAINT = (222.0, 226.0, 226.0)


def paint_ground(view: View, ground: Ground) -> tuple[Array, Array, Array]:
    """Sunlit blue, green and red of the ground, before shadows: three (rows, width) float32, about 0…255."""
    drive, calibration = view.drive, view.calibration
    colours, paint = profiles(drive)
    focal = calibration.matrices["P2"][0, 0]
    # What one pixel covers, in metres across and along: the textures are averaged over it.
    across = ground.z / np.float32(focal)
    along = across * ground.z / 1.6
    column = (ground.d + REACH) / RESOLUTION
    level = np.clip(np.log2(across / RESOLUTION + 1e-3) + 1.0, 0, LEVELS - 1)
    base: Array = cv2.remap(colours, column, level, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lines: Array = cv2.remap(paint, column, level, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    s = ground.z + np.float32(view.s)
    blue, green, red, grain = cv2.split(base)
    solid, broken, jointed = (np.ascontiguousarray(lines[..., index]) for index in range(3))

    fine, coarse = _noise_tiles()
    # Grain is finer than a pixel in the distance and averages out.
    close = _look_up(fine, ground.d, s, 0.03, 0.04) / (1 + along / 0.08)
    rough = close + 0.8 * _look_up(fine, ground.d, s, 0.35, 0.5) / (1 + along)
    worn = _look_up(coarse, ground.d, s, 0.12, 0.6)
    joints = jointed > 0
    jointed[joints] *= _periodic(s[joints], along[joints], 0.05, 1.0 + 0.6 * (drive.key[-1] % 3))
    dashes = broken > 0
    solid[dashes] += broken[dashes] * _periodic(s[dashes], along[dashes], *drive.section.dash)
    side_road = _side_road_cover(drive, ground.d, s, along)
    if side_road is not None:
        inside = side_road > 0
        cover = side_road[inside]
        for plane, level_of in zip((blue, green, red), shade_of("asphalt", drive), strict=True):
            plane[inside] += cover * (np.float32(level_of) - plane[inside])
        grain[inside] += cover * (np.float32(MATERIALS["asphalt"][2]) - grain[inside])
        jointed[inside] *= 1 - cover
        solid[inside] *= 1 - cover
    tone, white = marks_near(view, ground)
    tone *= 1 + grain * rough + np.float32(0.045) * worn - np.float32(0.25) * jointed
    white += solid
    painted = white > 0
    cover = white[painted] * np.clip(0.85 + 0.2 * worn[painted], 0.3, 1.0)
    for plane, paint_level in zip((blue, green, red), _PAINT, strict=True):
        plane *= tone
        plane[painted] += cover * (paint_level - plane[painted])
    return blue, green, red


def _look_up(tile: Array, d: Array, s: Array, across: float, along: float) -> Array:
    """A noise tile laid on the ground, one cell ``across`` × ``along`` metres, mirrored at its borders."""
    return cv2.remap(tile, d / across, s / along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _periodic(s: Array, footprint: Array, length: float, period: float) -> Array:
    """Share, 0…1, of a footprint around ``s`` that lies in the first ``length`` metres of each ``period``."""

    def filled(at: Array) -> Array:
        turns = np.floor(at / period)
        return turns * length + np.minimum(at - turns * period, length)

    reach = np.maximum(footprint, 0.02)
    return (filled(s + reach / 2) - filled(s - reach / 2)) / reach


def _side_road_cover(drive: Drive, d: Array, s: Array, along: Array) -> Array | None:
    if not drive.side_roads:
        return None
    cover = np.zeros_like(d)
    for side, start, end in drive.side_roads:
        beyond = d > drive.section.road[1] if side > 0 else d < drive.section.road[0]
        inside = np.minimum((s - start) / along, (end - s) / along) + 0.5
        cover = np.maximum(cover, np.clip(inside, 0, 1) * beyond)
    return cover


@lru_cache(maxsize=1)
def _noise_tiles() -> tuple[Array, Array]:
    rng = np.random.default_rng(20)
    fine = cv2.GaussianBlur(rng.standard_normal((512, 512), dtype=np.float32), (0, 0), 0.8)
    return fine / fine.std(), fractal_noise(rng, 512, (10, 40, 100))
