"""The ground as the camera sees it: each pixel below the horizon looks its (d, s) up in the drive's section."""

from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np

from segkit.scenes.arrays import Array
from segkit.scenes.decals import marks_near
from segkit.scenes.layout import Drive, View
from segkit.scenes.points import Ground
from segkit.scenes.profile import LEVELS, REACH, RESOLUTION, grain_of, profiles, shade_of
from segkit.scenes.textures import fractal_noise

ACROSS_THE_END = (("curb", 0.0), ("pavement", 0.2), ("yard", 3.0))
"""What lies across the end of a road: materials and how many metres beyond the end they start."""


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

    fine, coarse = _noise_tiles(drive.look.tile)
    # Grain is finer than a pixel in the distance and averages out.
    close = _look_up(fine, ground.d, s, 0.03, 0.04) / (1 + along / 0.08)
    rough = close + 0.8 * _look_up(fine, ground.d, s, 0.35, 0.5) / (1 + along)
    worn = _look_up(coarse, ground.d, s, 0.12, 0.6)
    joints = jointed > 0
    jointed[joints] *= _periodic(s[joints], along[joints], 0.05, 1.0 + 0.6 * (drive.key[-1] % 3))
    dashes = broken > 0
    solid[dashes] += broken[dashes] * _periodic(s[dashes], along[dashes], *drive.section.dash)
    tone, white = marks_near(view, ground)
    for material, share in _covers(drive, ground.d, s, along):
        inside = share > 0
        cover = share[inside]
        for plane, level_of in zip((blue, green, red), shade_of(material, drive), strict=True):
            plane[inside] += cover * (np.float32(level_of) - plane[inside])
        grain[inside] += cover * (np.float32(grain_of(material, drive)) - grain[inside])
        jointed[inside] *= 1 - cover
        solid[inside] *= 1 - cover
        if material != "asphalt":
            white[inside] *= 1 - cover
    look = drive.look
    tone *= (
        1
        + grain * (rough * np.float32(look.relief))
        + np.float32(0.045 * look.blotches) * worn
        - np.float32(0.25) * jointed
    )
    white += solid
    painted = white > 0
    cover = white[painted] * np.clip(0.85 + 0.2 * worn[painted], 0.3, 1.0) * np.float32(look.worn_paint)
    for plane, paint_level in zip((blue, green, red), look.paint, strict=True):
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


def _covers(drive: Drive, d: Array, s: Array, along: Array) -> Iterator[tuple[str, Array]]:
    """Materials that lie over the section and the share, 0…1, that they cover of each ground pixel."""
    if drive.side_roads:
        yield "asphalt", _side_road_cover(drive, d, s, along)
    if np.isfinite(drive.ends):
        # Across the end of a road runs what lies beside others.
        for material, start in ACROSS_THE_END:
            yield material, np.clip((s - (drive.ends + start)) / along + 0.5, 0, 1)


def _side_road_cover(drive: Drive, d: Array, s: Array, along: Array) -> Array:
    cover = np.zeros_like(d)
    for side_road in drive.side_roads:
        beside, within = side_road.margin(drive.section.road, d, s)
        cover = np.maximum(cover, np.clip(within / along + 0.5, 0, 1) * beside)
    return cover


@cache
def _noise_tiles(tile: int) -> tuple[Array, Array]:
    """The fine and the coarse noise of texture ``tile``; 0 is the usual one."""
    rng = np.random.default_rng(20 if tile == 0 else [20, tile])
    white = rng.standard_normal((512, 512), dtype=np.float32)
    if tile == 0:
        fine = cv2.GaussianBlur(white, (0, 0), 0.8)
        return fine / fine.std(), fractal_noise(rng, 512, (10, 40, 100))
    fine = cv2.GaussianBlur(white, (0, 0), rng.uniform(0.5, 2.5), sigmaY=rng.uniform(0.5, 4.0))
    cells = sorted(int(count) for count in rng.integers(4, 160, 3))
    return fine / fine.std(), fractal_noise(rng, 512, tuple(cells))
