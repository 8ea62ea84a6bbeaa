"""Upright rectangles and discs that things are put together from, and the colours that their styles pick."""

import numpy as np

from segkit.scenes.canvas import Canvas, Point
from segkit.scenes.objects import Thing
from segkit.scenes.textures import Colour

_CIRCLE = [(float(np.cos(turn)), float(np.sin(turn))) for turn in np.linspace(0, 2 * np.pi, 14, endpoint=False)]
_TINTS = np.random.default_rng(23).uniform(0.35, 1.25, (97, 1)) * np.random.default_rng(24).uniform(0.75, 1.15, (97, 3))
_COLOURS = np.random.default_rng(25).uniform(12, 235, (89, 1)) * np.random.default_rng(26).uniform(0.45, 1.08, (89, 3))


def tint_of(canvas: Canvas, thing: Thing) -> Colour:
    """What a thing's texture is multiplied with: its own where textures are shared."""
    if not canvas.view.drive.look.tinted:
        return (1.0, 1.0, 1.0)
    blue, green, red = _TINTS[thing.style % len(_TINTS)]
    return (blue, green, red)


def colour_of(canvas: Canvas, thing: Thing, usual: tuple[Colour, ...], draw: int = 0) -> Colour:
    """One of the usual colours, or, half the time where textures are tinted, any; ``draw`` tells several apart."""
    style = thing.style if draw == 0 else thing.style // len(usual) ** draw
    if canvas.view.drive.look.tinted and style // 7 % 2:
        blue, green, red = _COLOURS[style % len(_COLOURS)]
        return (blue, green, red)
    return usual[style % len(usual)]


def upright(
    canvas: Canvas, d: float, s: float, span: tuple[float, float], half: float, colour: Colour, light: float
) -> None:
    """A rectangle that faces the camera, ``span`` (low, high) metres above the road and twice ``half`` wide."""
    low, high = span
    canvas.polygon([(d - half, s, low), (d + half, s, low), (d + half, s, high), (d - half, s, high)], colour, light)


def disc(canvas: Canvas, centre: Point, radius: float, colour: Colour, light: float, along: bool = False) -> None:
    """A disc that faces the camera, or, ``along`` the road, one seen from its side; ``radius`` in metres."""
    d, s, h = centre
    if along:
        ring: list[Point] = [(d, s + radius * cosine, h + radius * sine) for cosine, sine in _CIRCLE]
    else:
        ring = [(d + radius * cosine, s, h + radius * sine) for cosine, sine in _CIRCLE]
    canvas.polygon(ring, colour, light)
