"""How a car is painted: body, cabin, windows, wheels and lamps."""

from segkit.scenes.canvas import Canvas, Point
from segkit.scenes.objects import Thing
from segkit.scenes.shapes import colour_of, disc, upright
from segkit.scenes.textures import Colour

_CAR_COLOURS: tuple[Colour, ...] = (
    (190, 190, 188), (60, 60, 62), (35, 35, 38), (110, 60, 35), (45, 45, 150), (140, 138, 135), (215, 218, 220),
    (75, 85, 60), (90, 90, 92),
)  # fmt: skip
_GLASS: Colour = (62, 55, 48)


def paint_car(canvas: Canvas, thing: Thing) -> None:
    """Paint a car as seen from behind or, if it is oncoming, from the front."""
    if thing.s + thing.length < canvas.view.s + 2.5 or thing.s < canvas.view.s + 0.6:
        return
    colour = colour_of(canvas, thing, _CAR_COLOURS)
    back, front = thing.s, thing.s + thing.length
    left, right = thing.d - thing.width / 2, thing.d + thing.width / 2
    # Seen from the side that is nearer to the camera's own line.
    ((middle, _),) = canvas.pixels([(thing.d, back, 0.5)])
    flank, towards = (left, -1.0) if middle > canvas.image.shape[1] / 2 else (right, 1.0)
    rear, side, above = canvas.face_light((0, -1)), canvas.face_light((towards, 0)), 1.1
    belt, top = 0.58 * thing.height, thing.height
    box = [(d, s, h) for d in (left, right) for s in (back, front) for h in (0.28, belt)]
    canvas.polygon(box, (20, 20, 20), 0.6)
    canvas.polygon([(flank, s, h) for s in (back, front) for h in (0.28, belt)], colour, side)
    canvas.polygon([(d, s, belt) for d in (left, right) for s in (back, front)], colour, above)
    if canvas.view.drive.look.tinted:
        _gloss(canvas, thing, flank, colour, side)
    # The cabin stands back from the bonnet, which is the near end of an oncoming car.
    bonnet, boot = 0.24 * thing.length, (0.02 if thing.style % 2 else 0.12) * thing.length
    first, last = (back + bonnet, front - boot) if thing.oncoming else (back + boot, front - bonnet)
    lean, inset = 0.45 * (top - belt), 0.12
    roof = [(d, s, top) for d in (left + inset, right - inset) for s in (first + lean, last - lean)]
    cabin = [(d, s, belt) for d in (left, right) for s in (first, last)]
    canvas.polygon([*cabin, *roof], colour, side)
    inner = flank - towards * inset
    window = [(flank, first + 0.25, belt), (flank, last - 0.25, belt)]
    window += [(inner, last - lean - 0.1, top - 0.1), (inner, first + lean + 0.1, top - 0.1)]
    canvas.polygon(window, _GLASS, side)
    post = (first + last) / 2
    canvas.polygon([(d, s, h) for d, h in ((flank, belt), (inner, top)) for s in (post, post + 0.1)], colour, side)
    rims: list[Point] = [(left, first, belt), (right, first, belt)]
    canvas.polygon([*rims, (right - inset, first + lean, top), (left + inset, first + lean, top)], colour, rear)
    glass: list[Point] = [(left + 0.14, first, belt + 0.05), (right - 0.14, first, belt + 0.05)]
    glass += [(right - 0.24, first + lean, top - 0.1), (left + 0.24, first + lean, top - 0.1)]
    canvas.polygon(glass, _GLASS, rear + 0.25)
    canvas.polygon(roof, colour, above)
    for wheel in (back + 0.17 * thing.length, front - 0.19 * thing.length):
        disc(canvas, (flank, wheel, 0.31), 0.31, (28, 28, 28), 1.0, along=True)
        disc(canvas, (flank, wheel, 0.31), 0.19, (120, 120, 120), side, along=True)
    for d in (left + 0.2, right - 0.2):
        upright(canvas, d, back, (0.0, 0.35), 0.11, (22, 22, 22), 1.0)
    canvas.polygon([(d, back, h) for d in (left, right) for h in (0.25, belt)], colour, rear)
    canvas.polygon([(d, back, h) for d in (left, right) for h in (0.25, 0.42)], (40, 40, 40), rear)
    upright(canvas, thing.d, back, (0.45, 0.56), 0.26, (210, 215, 215), rear)
    lamp: Colour = (225, 230, 230) if thing.oncoming else (35, 30, 170)
    for d in (left + 0.17, right - 0.17):
        upright(canvas, d, back, (belt - 0.24, belt - 0.06), 0.15, lamp, max(rear, 0.8))


def _gloss(canvas: Canvas, thing: Thing, flank: float, colour: Colour, light: float) -> None:
    """Bands along a car's side as if sky and road were mirrored in it, and the gap between two doors."""
    blue, green, red = colour
    back, front, belt = thing.s, thing.s + thing.length, 0.58 * thing.height
    for number in range(thing.style % 3):
        low = 0.3 + (belt - 0.4) * ((thing.style // 3 + 3 * number) % 7) / 9
        share = (0.45, 0.7, 1.3, 1.7)[(thing.style // 21 + number) % 4]
        tone = (min(blue * share, 250.0), min(green * share, 250.0), min(red * share, 250.0))
        band = low + 0.06 + 0.04 * (thing.style // 84 % 5)
        canvas.polygon([(flank, s, h) for s in (back, front) for h in (low, min(band, belt))], tone, light)
    gap = (back + front) / 2
    canvas.polygon([(flank, s, h) for s in (gap, gap + 0.03) for h in (0.3, belt)], (15, 15, 15), light)
