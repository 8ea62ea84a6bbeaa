"""Cameras over a road plane, close to the rigs of the real recordings."""

from typing import NamedTuple

import numpy as np

from segkit.road.calibration import Calibration
from segkit.scenes.arrays import Array


class Rig(NamedTuple):
    """A camera's picture size, focal length and principal point in pixels; ``turn`` radians rectify it."""

    width: int
    height: int
    focal: float
    centre_x: float
    centre_y: float
    turn: float


# Close to the four rigs of the real recordings.
RIGS = (
    Rig(1242, 375, 721.5, 609.6, 172.9, -0.0099),
    Rig(1241, 376, 718.9, 607.2, 185.2, -0.0099 + 0.001),
    Rig(1226, 370, 707.1, 601.9, 183.1, -0.0099 + 0.002),
    Rig(1224, 370, 707.0, 604.1, 180.5, -0.0099 + 0.003),
)
# x of the four cameras in metres, left grey first; P2 is the left colour camera.
_CAMERA_X = (0.0, 0.537, -0.062, 0.471)


def make_calibration(rig: Rig, height: float, pitch: float, roll: float) -> Calibration:
    """A camera ``height`` metres over the road, tilted down by ``pitch`` and to the right by ``roll`` radians."""
    _, _, focal, centre_x, centre_y, turn = rig
    matrices: dict[str, Array] = {}
    for index, x in enumerate(_CAMERA_X):
        depth_offset = 0.003 if index > 1 else 0.0
        matrices[f"P{index}"] = np.array(
            [
                [focal, 0.0, centre_x, -focal * x + centre_x * depth_offset],
                [0.0, focal, centre_y, centre_y * depth_offset],
                [0.0, 0.0, 1.0, depth_offset],
            ]
        )
    bias_relu = _rotation(-0.0043, 0.0075, turn)
    matrices["R0_rect"] = bias_relu
    matrices["Tr_velo_to_cam"] = np.column_stack(
        [_rotation(0.0, -0.0075, 0.004) @ [[0, -1, 0], [0, 0, -1], [1, 0, 0]], [-0.004, -0.076, -0.272]]
    )
    matrices["Tr_imu_to_velo"] = np.column_stack([_rotation(0.0148, -0.002, -0.0008), [-0.81, 0.32, -0.8]])
    # Tr_cam_to_road starts from the camera before rectification, hence the second factor.
    matrices["Tr_cam_to_road"] = np.column_stack([_rotation(-pitch, 0.0, roll) @ bias_relu, [0.01, -height, 0.29]])
    return Calibration(matrices)


def _rotation(about_x: float, about_y: float, about_z: float) -> Array:
    (sx, sy, sz), (cx, cy, cz) = np.sin([about_x, about_y, about_z]), np.cos([about_x, about_y, about_z])
    x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return z @ y @ x
