"""Varied surfaces, marks and lenses, drawn from wide ranges, partly beyond what is real."""

from collections.abc import Mapping

import numpy as np

from segkit.scenes.look import Lens, Look, Marks
from segkit.scenes.textures import Colour


def vary_look(key: tuple[int, ...], rng: np.random.Generator) -> Look:
    """Draw the surfaces, marks and lens of a drive."""
    yellow = rng.random() < 0.15
    paint = np.array((90, 175, 200) if yellow else (225, 228, 228)) * rng.uniform(0.6, 1.1)
    return Look(
        every_road=True,
        shades=_shades(rng),
        paint=(float(paint[0]), float(paint[1]), float(paint[2])),
        worn_paint=float(rng.uniform(0.25, 1.0)),
        marks=Marks(
            patches=0.25,
            cracks=0.2,
            arrows=0.25,
            crossing=0.15,
            stains=0.3,
            resurfaced=0.35,
            stop_line=0.2,
            box=0.18,
            signs=0.2,
        ),
        edge_lines=((0.25, 0.45) if rng.random() < 0.6 else (0.3,)) if rng.random() < 0.2 else (),
        tile=int(rng.integers(1, 17)),
        relief=float(rng.uniform(0.1, 1.6)),
        blotches=float(rng.uniform(0.0, 0.8) if rng.random() < 0.6 else rng.uniform(0.5, 2.2)),
        wet=float(rng.uniform(0.1, 0.55)) if rng.random() < 0.1 else 0.0,
        bonnet=float(rng.uniform(0.02, 0.14)) if rng.random() < 0.15 else 0.0,
        casts=int(rng.integers(1, 9)) if rng.random() < 0.65 else 0,
        tinted=True,
        lens=_lens(rng),
    )


def _shades(rng: np.random.Generator) -> Mapping[str, tuple[Colour, float]]:
    """Colour (BGR in sunlight) and grain of every material; much of what is no road may look as the road does."""
    grey = rng.uniform(55, 190)
    cast = rng.normal(0, 3 if rng.random() < 0.85 else 10)
    road = np.array((grey - cast, grey, grey + cast))

    def like_road(least: float, most: float) -> np.ndarray:
        return road * rng.uniform(least, most) + rng.normal(0, 3, 3)

    def slabs() -> np.ndarray:
        if rng.random() < 0.5:
            return like_road(0.75, 1.3)
        warm = rng.uniform(-4, 30)
        return rng.uniform(60, 195) + np.array((-warm, -warm / 3, warm))

    def any_colour() -> np.ndarray:
        return rng.uniform(15, 200) * rng.uniform(0.4, 1.1, 3)

    def green() -> np.ndarray:
        return np.array((40, 92, 75)) * rng.uniform(0.3, 1.5) + rng.normal(0, 12, 3)

    def ground() -> np.ndarray:
        kind = rng.random()
        return green() if kind < 0.55 else any_colour() if kind < 0.75 else like_road(0.6, 1.5)

    bicycle = np.array((70, 75, 145)) * rng.uniform(0.6, 1.2) if rng.random() < 0.3 else like_road(0.7, 1.3)
    kerb = like_road(1.1, 1.7) if rng.random() < 0.7 else like_road(0.5, 0.85)
    colours = {
        "asphalt": road,
        "opposite": like_road(0.9, 1.1),
        "pavement": slabs(),
        "bicycle": bicycle,
        "parking": slabs(),
        "tram": slabs(),
        "gutter": like_road(0.6, 1.4),
        "gravel": any_colour(),
        "curb": kerb,
        "grass": green() if rng.random() < 0.8 else ground(),
        "yard": ground(),
    }
    if rng.random() < 0.35:  # the kerb alone tells where the road ends
        colours |= {material: like_road(0.92, 1.08) for material in ("pavement", "bicycle", "parking", "tram")}
        colours["curb"] = like_road(1.25, 1.9) if rng.random() < 0.7 else like_road(0.3, 0.7)
    rough = {"grass": 0.3, "yard": 0.3, "gravel": 0.2, "tram": 0.16}
    return {
        material: (tuple(np.clip(colour, 8, 235).tolist()), rough.get(material, 0.08) * rng.uniform(0.4, 1.8))
        for material, colour in colours.items()
    }


def _lens(rng: np.random.Generator) -> Lens:
    return Lens(
        gamma=float(np.exp(rng.normal(0, 0.2))),
        vignette=float(rng.uniform(0, 0.5)) if rng.random() < 0.3 else 0.0,
        blur=float(rng.uniform(0.3, 1.6)) if rng.random() < 0.35 else 0.0,
        glare=float(rng.uniform(0, 0.2)) if rng.random() < 0.15 else 0.0,
        quality=int(rng.integers(25, 95)) if rng.random() < 0.35 else 0,
    )
