"""A drive's section as lookup pictures over d: what colour the ground has, and what is painted along it."""

from functools import lru_cache

import cv2
import numpy as np

from segkit.scenes.arrays import Array
from segkit.scenes.layout import Drive
from segkit.scenes.section import Section

# BGR in sunlight, spread between drives, grain. Pavement, parking and tracks overlap the road's grey on purpose.
MATERIALS = {
    "asphalt": ((128, 128, 128), 26.0, 0.07),
    "opposite": ((128, 128, 128), 26.0, 0.07),
    "pavement": ((132, 136, 140), 28.0, 0.08),
    "bicycle": ((122, 124, 130), 26.0, 0.07),
    "parking": ((118, 122, 126), 24.0, 0.10),
    "tram": ((112, 116, 118), 24.0, 0.16),
    "gutter": ((120, 124, 126), 22.0, 0.12),
    "gravel": ((130, 142, 152), 20.0, 0.20),
    "curb": ((165, 168, 168), 22.0, 0.10),
    "grass": ((45, 105, 85), 16.0, 0.30),
    "yard": ((50, 100, 88), 18.0, 0.30),
}
_YELLOW = (60, 150, 175)
_SLABS = ("bicycle", "pavement", "parking", "tram", "gravel")
RESOLUTION = 0.02
"""Metres of one column."""
REACH = 40.0
"""The lookup pictures go from −REACH to REACH metres."""
LEVELS = 8


def shade_of(material: str, drive: Drive) -> tuple[float, float, float]:
    """BGR in sunlight of a material on this drive."""
    if material in drive.look.shades:
        return drive.look.shades[material][0]
    colour, spread, _ = MATERIALS[material]
    rng = np.random.default_rng([*drive.key, sorted(MATERIALS).index(material)])
    lift, tint = rng.uniform(-spread, spread), rng.uniform(-4, 3)
    if material in _SLABS:
        # Slabs and pavers are as bright as the road, but warmer.
        tint = rng.uniform(8, 17) if rng.random() < 0.55 else rng.uniform(15, 34)
    return (colour[0] + lift - tint, colour[1] + lift - tint / 3, colour[2] + lift + tint)


def grain_of(material: str, drive: Drive) -> float:
    """How much a material's brightness varies from place to place on this drive, as a share of it."""
    return drive.look.shades[material][1] if material in drive.look.shades else MATERIALS[material][2]


@lru_cache(maxsize=2)
def profiles(drive: Drive) -> tuple[Array, Array]:
    """The section as two lookup pictures over d: (levels, columns, BGR + grain) and (…, solid, broken, joints).

    Each level is averaged over twice the width of the one before, for pixels that cover more ground.
    """
    columns = int(2 * REACH / RESOLUTION)
    d = (np.arange(columns) + 0.5) * RESOLUTION - REACH
    colours, paint = np.zeros((columns, 4), np.float32), np.zeros((columns, 3), np.float32)
    rng = np.random.default_rng([*drive.key, 1000])
    for strip in drive.section.strips:
        inside = (d >= strip.left) & (d < strip.right)
        colours[inside] = (*shade_of(strip.material, drive), grain_of(strip.material, drive))
        if strip.material in ("pavement", "parking", "gutter", "curb"):
            paint[inside, 2] = 1.0
            if strip.material != "curb" and rng.random() < 0.7:
                slab = rng.uniform(0.3, 0.6)
                colours[inside & (np.mod(d - strip.left, slab) < 0.03), :3] *= 0.78
        for edge in (strip.left, strip.right):
            colours[inside & (np.abs(d - edge) < 0.03), :3] *= 0.8
    _wear(colours, d, drive.section, rng)
    for marking in drive.section.markings:
        under = np.abs(d - marking.d) < marking.width / 2
        paint[under, 1 if marking.dashed else 0] = 1.0
        paint[under, 2] = 0.0
    for inset in drive.look.edge_lines:
        for line in (drive.section.road[0] + inset, drive.section.road[1] - inset):
            colours[np.abs(d - line) < 0.05, :3] = _YELLOW
    for rail in drive.section.rails:
        colours[np.abs(d - rail) < 0.09, :3] *= 0.6
        colours[np.abs(d - rail) < 0.035, :3] = (175, 178, 180)
    return _averaged(colours), _averaged(paint)


def _averaged(profile: Array) -> Array:
    return np.concatenate([cv2.blur(profile[None], (2**level, 1)) for level in range(LEVELS)])


def _wear(colours: Array, d: Array, section: Section, rng: np.random.Generator) -> None:
    """Wheel tracks and the seams between lanes darken or polish the asphalt; dust lightens its borders."""
    left, right = section.road
    on_road = (d >= left) & (d < right)
    lane_width = section.lane[1] - section.lane[0]
    strength = rng.uniform(-0.10, 0.07)
    middle = (section.lane[0] + section.lane[1]) / 2
    track = np.exp(-((((np.mod(d - middle + lane_width / 2, lane_width) - lane_width / 2) / 0.75) ** 2 - 1) ** 2) * 3)
    border = np.exp(-np.minimum(d - left, right - d).clip(0) / 0.25)
    tone = 1 + strength * track + rng.uniform(-0.12, 0.12) * border
    colours[on_road, :3] *= tone[on_road, None]
    for seam in rng.uniform(left, right, int(rng.integers(0, 3))):
        colours[np.abs(d - seam) < 0.03, :3] *= 0.7
