"""How each kind of thing is painted on the canvas, from its size and place in metres."""

from collections.abc import Callable

from segkit.scenes.canvas import Canvas, Point, textures_of
from segkit.scenes.cars import paint_car
from segkit.scenes.classes import ObjectId
from segkit.scenes.objects import Kind, Thing
from segkit.scenes.shapes import colour_of, disc, tint_of, upright
from segkit.scenes.textures import Colour

_CLOTHES: tuple[Colour, ...] = ((120, 60, 40), (50, 50, 140), (200, 200, 200), (50, 60, 60), (60, 110, 70))


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
    tint = tint_of(canvas, thing)
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
        tint_of(canvas, thing),
    )


def _bush(canvas: Canvas, thing: Thing) -> None:
    bushes = textures_of(canvas.view.drive)["bush"]
    foot = (thing.d, thing.s, -thing.height * 0.25)
    canvas.sprite(
        foot, (thing.width, thing.height * 1.3), bushes[thing.style % len(bushes)], 0.8, tint_of(canvas, thing)
    )


def _pole(canvas: Canvas, thing: Thing) -> None:
    half, s = thing.width / 2, thing.s
    colour: Colour = (125, 128, 128) if thing.width < 0.2 else (85, 95, 100)
    light = canvas.face_light((0, -1))
    upright(canvas, thing.d, s, (0.0, thing.height), half, colour, light)
    arm = 2.2 if thing.style else -2.2
    tip = thing.d + arm
    top = thing.height
    canvas.polygon([(thing.d, s, top - 0.1), (tip, s, top), (tip, s, top + 0.12)], colour, light)


def _sign(canvas: Canvas, thing: Thing) -> None:
    light = canvas.face_light((0, -1))
    upright(canvas, thing.d, thing.s, (0.0, 2.5), 0.03, (130, 130, 130), light)
    canvas.label = ObjectId.TRAFFIC_SIGN
    board: Colour = ((40, 40, 190), (170, 90, 30), (40, 190, 220), (220, 220, 220))[thing.style % 4]
    if thing.style % 3:
        disc(canvas, (thing.d, thing.s, 2.35), 0.36, board, light)
        disc(canvas, (thing.d, thing.s, 2.35), 0.25, (225, 225, 225), light)
    else:
        upright(canvas, thing.d, thing.s, (1.9, 2.6), 0.35, board, light)


def _person(canvas: Canvas, thing: Thing) -> None:
    d, s, tall, light = thing.d, thing.s, thing.height, canvas.face_light((0, -1))
    shirt, trousers = colour_of(canvas, thing, _CLOTHES), colour_of(canvas, thing, _CLOTHES, 1)
    saddle = 0.35 if thing.kind == "cyclist" else 0.0
    if saddle:
        canvas.label = ObjectId.BICYCLE
        for shift in (-0.5, 0.5):
            disc(canvas, (d, s + shift, 0.34), 0.34, (40, 40, 40), light, along=True)
        upright(canvas, d, s, (0.0, 0.9), 0.05, (60, 60, 60), light)
        canvas.label = ObjectId.RIDER
    for leg in (-0.12, 0.12):
        upright(canvas, d + leg, s, (saddle, 0.5 * tall + saddle), 0.08, trousers, light)
    upright(canvas, d, s, (0.46 * tall + saddle, 0.84 * tall + saddle), 0.23, shirt, light)
    disc(canvas, (d, s, 0.92 * tall + saddle), 0.12, (110, 140, 180), light)


def _box(canvas: Canvas, thing: Thing) -> None:
    """A box of any texture: its end, the flank that is seen, and its lid."""
    textures = textures_of(canvas.view.drive)["box"]
    picture, tint = textures[thing.style % len(textures)], tint_of(canvas, thing)
    near, far, top = max(thing.s, canvas.view.s + 1.2), thing.s + thing.length, thing.height
    if far <= near + 0.05:
        return
    left, right = thing.d - thing.width / 2, thing.d + thing.width / 2
    ((middle, _),) = canvas.pixels([(thing.d, near, 0.5)])
    flank, towards = (left, -1.0) if middle > canvas.image.shape[1] / 2 else (right, 1.0)
    canvas.polygon([(d, s, top) for d in (left, right) for s in (near, far)], colour_of(canvas, thing, _CLOTHES))
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
    "car": (paint_car, ObjectId.CAR),
    "box": (_box, ObjectId.STATIC),
    "post": (_box, ObjectId.POLE),
    "lorry": (_box, ObjectId.TRUCK),
    "side": (_box, ObjectId.CAR),
}
