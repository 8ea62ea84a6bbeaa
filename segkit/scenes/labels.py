"""What each pixel shows: its class, which thing of its class, and how far away it is, as KITTI writes them."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from segkit.scenes.arrays import Array
from segkit.scenes.canvas import Canvas, Face
from segkit.scenes.classes import COUNTED, ObjectId
from segkit.scenes.ground import ACROSS_THE_END
from segkit.scenes.layout import View
from segkit.scenes.points import Ground

Extra = Literal["semantic", "instance", "depth"]
"""``semantic``: Cityscapes' label ids, uint8. ``instance``: label id × 256 + number of the thing in its class, uint16;
0 is the number of what is not counted. ``depth``: metres before the camera × 256, uint16; 0 where nothing is known, as
in the sky. All are (H, W)."""

_MATERIALS = {
    "asphalt": ObjectId.ROAD,
    "opposite": ObjectId.ROAD,
    "pavement": ObjectId.SIDEWALK,
    "bicycle": ObjectId.SIDEWALK,
    "parking": ObjectId.PARKING,
    "tram": ObjectId.RAIL_TRACK,
    "gutter": ObjectId.SIDEWALK,  # as in the road's own labels, it is no part of the road
    "gravel": ObjectId.TERRAIN,
    "curb": ObjectId.SIDEWALK,
    "grass": ObjectId.TERRAIN,
    "yard": ObjectId.TERRAIN,
}
_METRE = 256
_FARTHEST = np.iinfo(np.uint16).max


def draw_labels(view: View, ground: Ground, canvas: Canvas, also: Sequence[Extra]) -> dict[Extra, Array]:
    """The labels named in ``also`` of a painted canvas."""
    labels: dict[Extra, Array] = {}
    if "semantic" in also or "instance" in also:
        bare = _bare(view, ground)
        if "semantic" in also:
            labels["semantic"] = _semantic(bare, canvas)
        if "instance" in also:
            labels["instance"] = _instance(bare, canvas)
    if "depth" in also:
        labels["depth"] = _depth(view, ground, canvas)
    return labels


def _bare(view: View, ground: Ground) -> Array:
    """Label ids of ground and sky, (H, W) uint8, as if nothing stood there."""
    drive = view.drive
    d, s = ground.d, ground.z + np.float32(view.s)
    strips = drive.section.strips
    starts = np.array([strip.left for strip in strips[1:]], np.float32)
    ids = np.array([_MATERIALS[strip.material] for strip in strips], np.uint8)[np.searchsorted(starts, d, "right")]
    for side_road in drive.side_roads:
        ids[side_road.inside(drive.section.road, d, s)] = ObjectId.ROAD
    if np.isfinite(drive.ends):
        for material, start in ACROSS_THE_END:
            ids[s >= drive.ends + start] = _MATERIALS[material]
    ids[ground.beyond] = ObjectId.SKY
    bare = np.full((ground.top + len(ids), ids.shape[1]), ObjectId.SKY, np.uint8)
    bare[ground.top :] = ids
    return bare


def _semantic(bare: Array, canvas: Canvas) -> Array:
    ids = np.array([0, *(face.label for face in canvas.faces)], np.uint8)
    return np.where(canvas.number > 0, ids[canvas.number], bare)


def _instance(bare: Array, canvas: Canvas) -> Array:
    seen = _seen(canvas)
    numbers: dict[tuple[ObjectId, int], int] = {}
    last = dict.fromkeys(COUNTED, 0)
    values = np.array([0, *(face.label * 256 for face in canvas.faces)], np.uint16)
    for index, face in seen:
        if face.label in COUNTED:
            thing = face.label, face.thing
            if thing not in numbers:
                last[face.label] += 1
                numbers[thing] = last[face.label]
            values[index] += numbers[thing]
    return np.where(canvas.number > 0, values[canvas.number], bare.astype(np.uint16) * 256)


def _seen(canvas: Canvas) -> list[tuple[int, Face]]:
    """The faces that some pixel shows, with their numbers."""
    count = np.bincount(canvas.number.ravel(), minlength=len(canvas.faces) + 1)
    return [(index, face) for index, face in enumerate(canvas.faces, start=1) if count[index]]


def _depth(view: View, ground: Ground, canvas: Canvas) -> Array:
    """A plane's inverse depth is linear in the pixel; what is not flat gets the plane that fits its corners best."""
    planes, limits = np.zeros((len(canvas.faces) + 1, 3)), np.zeros((len(canvas.faces) + 1, 2))
    for index, face in _seen(canvas):
        if len(face.depth):
            planes[index], limits[index] = _plane(face), (face.depth.min(), face.depth.max())
    matrix = view.calibration.projection()
    metres = np.zeros(canvas.number.shape)
    metres[ground.top :] = np.where(
        ground.beyond, 0, matrix[2, 0] * ground.x + matrix[2, 2] * ground.z + matrix[2, 3]
    )
    rows, columns = np.nonzero(canvas.number)
    number = canvas.number[rows, columns]
    across, down, constant = planes[number].T
    nearest, farthest = limits[number].T
    inverse = across * columns + down * rows + constant
    found = np.where(inverse > 0, 1 / np.where(inverse > 0, inverse, 1), farthest)
    metres[rows, columns] = np.clip(found, nearest, farthest)
    return np.minimum(np.round(metres * _METRE), _FARTHEST).astype(np.uint16)


def _plane(face: Face) -> Array:
    """(3,): what a column and a row add to the inverse depth, and its value at the pixel (0, 0)."""
    middle = face.pixels.mean(0)
    places = np.column_stack([face.pixels - middle, np.ones(len(face.depth))])
    (across, down, constant), *_ = np.linalg.lstsq(places, 1 / face.depth, rcond=1e-6)
    return np.array((across, down, constant - across * middle[0] - down * middle[1]))
