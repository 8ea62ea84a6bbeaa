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
    """The labels named in ``also`` of a painted canvas, which has kept its faces if instance or depth are asked for."""
    labels: dict[Extra, Array] = {}
    faces = _seen(canvas)
    if "semantic" in also or "instance" in also:
        bare = _bare(view, ground)
        if "semantic" in also:
            labels["semantic"] = _semantic(bare, canvas)
        if "instance" in also:
            labels["instance"] = _instance(bare, canvas, faces)
    if "depth" in also:
        labels["depth"] = _depth(view, ground, canvas, faces)
    return labels


def _seen(canvas: Canvas) -> list[tuple[int, Face]]:
    """The kept faces that some pixel shows, with their numbers."""
    seen = np.zeros(len(canvas.faces) + 1, bool)
    if canvas.faces:
        seen[canvas.shown] = True
    return [(number, face) for number, face in enumerate(canvas.faces, start=1) if seen[number]]


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
    ids = canvas.shown
    if canvas.faces:
        ids = np.array([0, *(face.label for face in canvas.faces)], np.uint8)[ids]
    return np.where(ids > 0, ids, bare)


def _instance(bare: Array, canvas: Canvas, faces: Sequence[tuple[int, Face]]) -> Array:
    numbers: dict[tuple[ObjectId, int], int] = {}
    last = dict.fromkeys(COUNTED, 0)
    values = np.zeros(len(canvas.faces) + 1, np.uint16)
    for index, face in faces:
        values[index] = face.label * 256
        if face.label in COUNTED:
            thing = face.label, face.thing
            if thing not in numbers:
                last[face.label] += 1
                numbers[thing] = last[face.label]
            values[index] += numbers[thing]
    return np.where(canvas.shown > 0, values[canvas.shown], bare.astype(np.uint16) * 256)


def _depth(view: View, ground: Ground, canvas: Canvas, faces: Sequence[tuple[int, Face]]) -> Array:
    """A plane's inverse depth is linear in the pixel; what is not flat gets the plane that fits its corners best."""
    # Across, down, constant, and the least and greatest inverse depth of the corners; 0: no place, infinitely far.
    planes = np.zeros((5, len(canvas.faces) + 1), np.float32)
    for index, face in faces:
        if len(face.depth):
            planes[:3, index] = _plane(face)
            planes[3:, index] = 1 / face.depth.max(), 1 / face.depth.min()
    rows, columns = canvas.shown.shape
    across, down, constant, least, most = (plane[canvas.shown] for plane in planes)
    inverse = across * np.arange(columns, dtype=np.float32)
    inverse += down * np.arange(rows, dtype=np.float32)[:, None]
    inverse += constant
    inverse = np.clip(inverse, least, most, out=inverse)
    metres = np.divide(1, inverse, out=np.zeros_like(inverse), where=inverse > 0)
    _, _, (beside, _, ahead, offset) = view.calibration.projection().astype(np.float32)
    free = ~ground.beyond & (canvas.shown[ground.top :] == 0)
    np.copyto(metres[ground.top :], beside * ground.x + ahead * ground.z + offset, where=free)
    return np.minimum(metres * _METRE + 0.5, _FARTHEST).astype(np.uint16)


def _plane(face: Face) -> Array:
    """(3,): what a column and a row add to the inverse depth, and its value at the pixel (0, 0)."""
    middle = face.pixels.mean(0)
    places = np.column_stack([face.pixels - middle, np.ones(len(face.depth))])
    (across, down, constant), *_ = np.linalg.lstsq(places, 1 / face.depth, rcond=1e-6)
    return np.array((across, down, constant - across * middle[0] - down * middle[1]))
