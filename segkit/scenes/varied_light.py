"""Varied light: any hour and weather, from wide ranges."""

import numpy as np

from segkit.scenes.layout import Light
from segkit.scenes.textures import Colour


def vary_light(rng: np.random.Generator) -> Light:
    """Draw the light of a drive: sun with black or pale shadows, grey days, dusk, light from behind the houses."""
    sunny = bool(rng.random() < 0.6)
    depth = rng.uniform(0.12, 0.6) if sunny else rng.uniform(0.7, 0.95)
    sky = _sky(rng)
    dusk = rng.random() < 0.27
    ground = float(np.exp(rng.uniform(np.log(0.18), np.log(0.6)))) if dusk else 1.0
    things = ground * rng.uniform(0.7, 1.3) if dusk else rng.uniform(0.25, 1.1) if rng.random() < 0.4 else 1.0
    warm, green = rng.normal(0, 0.04), rng.normal(0, 0.02)
    low = rng.uniform(1.0, 3.0) if rng.random() < 0.3 else 1.2
    return Light(
        sunny=sunny,
        shadow=(float(rng.uniform(-low, low)), float(rng.uniform(-low, low))),
        shade=(depth * rng.uniform(1.0, 1.2), depth, depth * rng.uniform(0.85, 1.0)),
        sky=sky[0],
        horizon=sky[1],
        clouds=float(rng.uniform(0, 1)),
        haze=float(np.exp(rng.uniform(np.log(250), np.log(2000))) if rng.random() < 0.85 else rng.uniform(80, 250)),
        gain=float(np.exp(rng.normal(0.0, 0.28))),
        balance=(float(1 - warm), float(1 + green), float(1 + warm)),
        contrast=float(rng.uniform(0.7, 1.05) if dusk else rng.uniform(0.75, 1.4)),
        noise=float(rng.uniform(0.0, 6.0)),
        ground=ground,
        things=float(min(things, 1.1)),
    )


def _sky(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """BGR at the top of the picture and at the horizon."""
    kind = rng.random()
    pale = rng.uniform(205, 255)
    if kind < 0.35:
        top, horizon = (pale, pale, pale), (pale, pale, pale - 4)
    elif kind < 0.75:
        blue = rng.uniform(0.55, 1.05)
        top = (235 * blue, 170 * blue - rng.uniform(0, 30), 105 * blue - rng.uniform(0, 50))
        horizon = (pale, pale - rng.uniform(0, 20), pale - rng.uniform(0, 45))
    else:
        grey = rng.uniform(90, 200)
        top, horizon = (grey * 1.05, grey, grey * 0.95), (pale, pale * 0.98, pale * rng.uniform(0.8, 1.0))
    return top, horizon
