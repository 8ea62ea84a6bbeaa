"""How different two colours are to people of usual sight and to colour-blind ones."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

SIGHTS = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
"""Of linear RGB; Machado, Oliveira and Fernandes 2009, severity 1."""

# sRGB's primaries, D65.
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colours: ArrayLike, sight: str = "usual") -> Array:
    """CIELAB (…, 3) of RGB colours 0…255 (…, 3), as somebody sees them."""
    share = np.asarray(colours, float) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    relative = np.clip(linear @ SIGHTS[sight].T, 0, 1) @ XYZ.T / XYZ.sum(1)
    x, y, z = np.moveaxis(
        np.where(relative > 216 / 24389, np.cbrt(relative), (24389 / 27 * relative + 16) / 116), -1, 0
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def difference(one: Array, other: Array) -> Array:
    """CIEDE2000 between CIELAB colours (…, 3), of unit weights."""
    lights = [colour[..., 0] for colour in (one, other)]
    mean = (np.hypot(*one[..., 1:].T).T + np.hypot(*other[..., 1:].T).T) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean**7 / (mean**7 + 25.0**7))
    planes = [(colour[..., 1] * stretch, colour[..., 2]) for colour in (one, other)]
    chromas = [np.hypot(a, b) for a, b in planes]
    hues = [np.degrees(np.arctan2(b, a)) % 360 for a, b in planes]
    grey = chromas[0] * chromas[1] == 0
    turn = np.where(grey, 0, (hues[1] - hues[0] + 180) % 360 - 180)
    hue = np.radians(np.where(grey, hues[0] + hues[1], hues[0] + turn / 2))
    light, chroma = (lights[0] + lights[1]) / 2, (chromas[0] + chromas[1]) / 2
    weight = 1 - 0.17 * np.cos(hue - np.pi / 6) + 0.24 * np.cos(2 * hue)
    weight += 0.32 * np.cos(3 * hue + np.radians(6)) - 0.2 * np.cos(4 * hue - np.radians(63))
    by_light = (lights[1] - lights[0]) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    by_chroma = (chromas[1] - chromas[0]) / (1 + 0.045 * chroma)
    by_hue = 2 * np.sqrt(chromas[0] * chromas[1]) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * weight)
    blue = np.exp(-(((np.degrees(hue) % 360 - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(np.radians(60 * blue))
    found: Array = np.sqrt(by_light**2 + by_chroma**2 + by_hue**2 + rotation * by_chroma * by_hue)
    return found


def smallest_difference(colours: ArrayLike, sight: str) -> float:
    """Between any two of several RGB colours."""
    points = lab(colours, sight)
    differences = difference(points[:, None], points[None])
    return float(differences[~np.eye(len(points), dtype=bool)].min())
