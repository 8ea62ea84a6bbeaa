"""How each kind of thing is painted on the canvas, from its size and place in metres."""

from collections.abc import Callable

import numpy as np

from segkit.scenes.canvas import Canvas, Point, textures_of
from segkit.scenes.classes import ObjectId
from segkit.scenes.objects import Kind, Thing
from segkit.scenes.textures import Colour

_CAR_COLOURS: tuple[Colour, ...] = (
    (190, 190, 188), (60, 60, 62), (35, 35, 38), (110, 60, 35), (45, 45, 150), (140, 138, 135), (215, 218, 220),
    (75, 85, 60), (90, 90, 92),
)  # fmt: skip
_CLOTHES: tuple[Colour, ...] = ((120, 60, 40), (50, 50, 140), (200, 200, 200), (50, 60, 60), (60, 110, 70))
_GLASS: Colour = (62, 55, 48)


_CIRCLE = [(float(np.cos(turn)), float(np.sin(turn))) for turn in np.linspace(0, 2 * np.pi, 14, endpoint=False)]
_TINTS = np.random.default_rng(23).uniform(0.35, 1.25, (97, 1)) * np.random.default_rng(24).uniform(0.75, 1.15, (97, 3))
_COLOURS = np.random.default_rng(25).uniform(12, 235, (89, 1)) * np.random.default_rng(26).uniform(0.45, 1.08, (89, 3))


def _tint(canvas: Canvas, thing: Thing) -> Colour:
    """What a thing's texture is multiplied with: its own where textures are shared."""
    if not canvas.view.drive.look.tinted:
        return (1.0, 1.0, 1.0)
    blue, green, red = _TINTS[thing.style % len(_TINTS)]
    return (blue, green, red)


def _painted(canvas: Canvas, thing: Thing, usual: tuple[Colour, ...], draw: int = 0) -> Colour:
    """One of the usual colours, or, half the time where textures are tinted, any; ``draw`` tells several apart."""
    style = thing.style if draw == 0 else thing.style // len(usual) ** draw
    if canvas.view.drive.look.tinted and style // 7 % 2:
        blue, green, red = _COLOURS[style % len(_COLOURS)]
        return (blue, green, red)
    return usual[style % len(usual)]


def paint_thing(canvas: Canvas, thing: Thing) -> None:
    """Paint one thing; farther ones must have been painted before."""
    reach = abs(thing.width) + 2.5  # as far as a lamp's arm
    if not canvas.beside(thing.d - reach, thing.d + reach, thing.s, thing.s + thing.length + 1):
        paint, label = _PAINTERS[thing.kind]
        canvas.begin(label)
        paint(canvas, thing)


def _front(canvas: Canvas, thing: Thing) -> None:
    """A house, wall or hedge: the long face along the road, and the short one that faces the camera."""
    side = 1.0 if thing.width > 0 else -1.0
    texture = textures_of(canvas.view.drive)[thing.kind]
    picture = texture[thing.style % len(texture)]
    tint = _tint(canvas, thing)
    near = max(thing.s, canvas.view.s + 1.2)
    end = thing.s + thing.length
    if end <= near + 0.1:
        return
    inner, outer, top = thing.d, thing.d + thing.width, thing.height
    if thing.kind == "house":
        _roof(canvas, thing, near, end)
    if near == thing.s:
        ends: list[Point] = [(inner, near, top), (outer, near, top), (outer, near, 0), (inner, near, 0)]
        canvas.textured(
            ends if side > 0 else [ends[1], ends[0], ends[3], ends[2]], picture, canvas.face_light((0, -1)), 0.0, tint
        )
    part = (near - thing.s) / thing.length
    face: list[Point] = [(inner, near, top), (inner, end, top), (inner, end, 0), (inner, near, 0)]
    canvas.textured(face, picture, canvas.face_light((-side, 0)), part, tint)
    if thing.kind == "hedge":
        lid = [(d, s, top) for d in (inner, outer) for s in (near, end)]
        canvas.polygon(lid, (55, 120, 95), 0.9)


def _roof(canvas: Canvas, thing: Thing, near: float, end: float) -> None:
    if thing.style % 3 == 0:
        return
    rise = 1.5 + thing.style % 7 * 0.35
    ridge = thing.d + thing.width / 2
    colour: Colour = ((55, 65, 105), (75, 75, 80), (50, 75, 130))[thing.style % 5 % 3]
    top = thing.height
    side = 1.0 if thing.width > 0 else -1.0
    slope: list[Point] = [(d, s, h) for d, h in ((thing.d, top), (ridge, top + rise)) for s in (near, end)]
    canvas.polygon(slope, colour, canvas.face_light((-side, 0)))
    gable: list[Point] = [(thing.d, near, top), (thing.d + thing.width, near, top), (ridge, near, top + rise)]
    canvas.polygon(gable, (140, 150, 160), canvas.face_light((0, -1)))


def _tree(canvas: Canvas, thing: Thing) -> None:
    crowns = textures_of(canvas.view.drive)["tree"]
    light = 0.95 if canvas.view.drive.light.sunny and canvas.view.drive.light.shadow[1] > 0 else 0.72
    thick, s = 0.08 + 0.012 * thing.height, thing.s
    bottom = thing.height - thing.width * 1.15
    trunk: list[Point] = [
        (thing.d - thick, s, -0.05), (thing.d + thick, s, -0.05),
        (thing.d + thick * 0.6, s, thing.height * 0.6), (thing.d - thick * 0.6, s, thing.height * 0.6),
    ]  # fmt: skip
    canvas.polygon(trunk, (42, 52, 60), light)
    foot = (thing.d, s, max(bottom, 1.6))
    canvas.sprite(
        foot,
        (thing.width * 1.15, thing.height - foot[2]),
        crowns[thing.style % len(crowns)],
        light,
        _tint(canvas, thing),
    )


def _bush(canvas: Canvas, thing: Thing) -> None:
    bushes = textures_of(canvas.view.drive)["bush"]
    foot = (thing.d, thing.s, -thing.height * 0.25)
    canvas.sprite(foot, (thing.width, thing.height * 1.3), bushes[thing.style % len(bushes)], 0.8, _tint(canvas, thing))


def _pole(canvas: Canvas, thing: Thing) -> None:
    half, s = thing.width / 2, thing.s
    colour: Colour = (125, 128, 128) if thing.width < 0.2 else (85, 95, 100)
    light = canvas.face_light((0, -1))
    _upright(canvas, thing.d, s, (0.0, thing.height), half, colour, light)
    arm = 2.2 if thing.style else -2.2
    tip = thing.d + arm
    top = thing.height
    canvas.polygon([(thing.d, s, top - 0.1), (tip, s, top), (tip, s, top + 0.12)], colour, light)


def _upright(
    canvas: Canvas, d: float, s: float, span: tuple[float, float], half: float, colour: Colour, light: float
) -> None:
    """A rectangle that faces the camera, ``span`` (low, high) metres above the road and twice ``half`` wide."""
    low, high = span
    canvas.polygon([(d - half, s, low), (d + half, s, low), (d + half, s, high), (d - half, s, high)], colour, light)


def _sign(canvas: Canvas, thing: Thing) -> None:
    light = canvas.face_light((0, -1))
    _upright(canvas, thing.d, thing.s, (0.0, 2.5), 0.03, (130, 130, 130), light)
    canvas.label = ObjectId.TRAFFIC_SIGN
    board: Colour = ((40, 40, 190), (170, 90, 30), (40, 190, 220), (220, 220, 220))[thing.style % 4]
    if thing.style % 3:
        _disc(canvas, (thing.d, thing.s, 2.35), 0.36, board, light)
        _disc(canvas, (thing.d, thing.s, 2.35), 0.25, (225, 225, 225), light)
    else:
        _upright(canvas, thing.d, thing.s, (1.9, 2.6), 0.35, board, light)


def _disc(canvas: Canvas, centre: Point, radius: float, colour: Colour, light: float, along: bool = False) -> None:
    d, s, h = centre
    if along:
        ring: list[Point] = [(d, s + radius * cosine, h + radius * sine) for cosine, sine in _CIRCLE]
    else:
        ring = [(d + radius * cosine, s, h + radius * sine) for cosine, sine in _CIRCLE]
    canvas.polygon(ring, colour, light)


def _person(canvas: Canvas, thing: Thing) -> None:
    d, s, tall, light = thing.d, thing.s, thing.height, canvas.face_light((0, -1))
    shirt, trousers = _painted(canvas, thing, _CLOTHES), _painted(canvas, thing, _CLOTHES, 1)
    saddle = 0.35 if thing.kind == "cyclist" else 0.0
    if saddle:
        canvas.label = ObjectId.BICYCLE
        for shift in (-0.5, 0.5):
            _disc(canvas, (d, s + shift, 0.34), 0.34, (40, 40, 40), light, along=True)
        _upright(canvas, d, s, (0.0, 0.9), 0.05, (60, 60, 60), light)
        canvas.label = ObjectId.RIDER
    for leg in (-0.12, 0.12):
        _upright(canvas, d + leg, s, (saddle, 0.5 * tall + saddle), 0.08, trousers, light)
    _upright(canvas, d, s, (0.46 * tall + saddle, 0.84 * tall + saddle), 0.23, shirt, light)
    _disc(canvas, (d, s, 0.92 * tall + saddle), 0.12, (110, 140, 180), light)


def _car(canvas: Canvas, thing: Thing) -> None:
    if thing.s + thing.length < canvas.view.s + 2.5 or thing.s < canvas.view.s + 0.6:
        return
    colour = _painted(canvas, thing, _CAR_COLOURS)
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
        _disc(canvas, (flank, wheel, 0.31), 0.31, (28, 28, 28), 1.0, along=True)
        _disc(canvas, (flank, wheel, 0.31), 0.19, (120, 120, 120), side, along=True)
    for d in (left + 0.2, right - 0.2):
        _upright(canvas, d, back, (0.0, 0.35), 0.11, (22, 22, 22), 1.0)
    canvas.polygon([(d, back, h) for d in (left, right) for h in (0.25, belt)], colour, rear)
    canvas.polygon([(d, back, h) for d in (left, right) for h in (0.25, 0.42)], (40, 40, 40), rear)
    _upright(canvas, thing.d, back, (0.45, 0.56), 0.26, (210, 215, 215), rear)
    lamp: Colour = (225, 230, 230) if thing.oncoming else (35, 30, 170)
    for d in (left + 0.17, right - 0.17):
        _upright(canvas, d, back, (belt - 0.24, belt - 0.06), 0.15, lamp, max(rear, 0.8))


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


def _box(canvas: Canvas, thing: Thing) -> None:
    """A box of any texture: its end, the flank that is seen, and its lid."""
    textures = textures_of(canvas.view.drive)["box"]
    picture, tint = textures[thing.style % len(textures)], _tint(canvas, thing)
    near, far, top = max(thing.s, canvas.view.s + 1.2), thing.s + thing.length, thing.height
    if far <= near + 0.05:
        return
    left, right = thing.d - thing.width / 2, thing.d + thing.width / 2
    ((middle, _),) = canvas.pixels([(thing.d, near, 0.5)])
    flank, towards = (left, -1.0) if middle > canvas.image.shape[1] / 2 else (right, 1.0)
    canvas.polygon([(d, s, top) for d in (left, right) for s in (near, far)], _painted(canvas, thing, _CLOTHES))
    side: list[Point] = [(flank, near, top), (flank, far, top), (flank, far, 0), (flank, near, 0)]
    canvas.textured(side, picture, canvas.face_light((towards, 0)), 0.0, tint)
    end: list[Point] = [(left, near, top), (right, near, top), (right, near, 0), (left, near, 0)]
    canvas.textured(end, picture, canvas.face_light((0, -1)), 0.0, tint)


_PAINTERS: dict[Kind, tuple[Callable[[Canvas, Thing], None], ObjectId]] = {
    "house": (_front, ObjectId.BUILDING),
    "wall": (_front, ObjectId.WALL),
    "hedge": (_front, ObjectId.VEGETATION),
    "tree": (_tree, ObjectId.VEGETATION),
    "bush": (_bush, ObjectId.VEGETATION),
    "pole": (_pole, ObjectId.POLE),
    "sign": (_sign, ObjectId.POLE),
    "person": (_person, ObjectId.PERSON),
    "cyclist": (_person, ObjectId.RIDER),
    "car": (_car, ObjectId.CAR),
    "box": (_box, ObjectId.STATIC),
    "post": (_box, ObjectId.POLE),
    "lorry": (_box, ObjectId.TRUCK),
    "side": (_box, ObjectId.CAR),
}
