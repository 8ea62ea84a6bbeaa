"""A camera over a road plane, and the calibration file that says where it stands.

Coordinates are KITTI's: camera and road axes are x right, y down, z ahead, in metres; the road plane is y = 0.
A road point maps to the left colour image by ``P2 · R0_rect · inv(Tr_cam_to_road)``.
"""

from dataclasses import dataclass

import numpy as np

from segkit.data.scenes.arrays import Array

# width, height, focal length and principal point in pixels: close to the four rigs of the real recordings.
RIGS = (
    (1242, 375, 721.5, 609.6, 172.9),
    (1241, 376, 718.9, 607.2, 185.2),
    (1226, 370, 707.1, 601.9, 183.1),
    (1224, 370, 707.0, 604.1, 180.5),
)
# x of the four cameras in metres, left grey first; P2 is the left colour camera.
_CAMERA_X = (0.0, 0.537, -0.062, 0.471)
_MIN_DEPTH = 0.3


@dataclass(frozen=True)
class Calibration:
    """One picture's camera: ``size`` (width, height) in pixels, and the named matrices of its calibration file."""

    size: tuple[int, int]
    matrices: dict[str, Array]

    def projection(self) -> Array:
        """Road coordinates (x, y, z, 1) in metres to homogeneous pixels of the left colour image: (3, 4) float64."""
        rectify, to_road = np.eye(4), np.eye(4)
        rectify[:3, :3] = self.matrices["R0_rect"]
        to_road[:3] = self.matrices["Tr_cam_to_road"]
        return self.matrices["P2"] @ rectify @ np.linalg.inv(to_road)

    def ground_homography(self) -> Array:
        """Road-plane points (x, z, 1) in metres to homogeneous pixels: (3, 3) float64."""
        return self.projection()[:, [0, 2, 3]]

    def project(self, points: Array) -> Array:
        """Pixels (u, v), (..., 2), of road coordinates (..., 3) in metres. Depth is held in front of the camera."""
        matrix = self.projection()
        pixels = points @ matrix[:, :3].T + matrix[:, 3]
        return pixels[..., :2] / np.maximum(pixels[..., 2:], _MIN_DEPTH)

    def text(self) -> str:
        """The calibration file: one ``name: numbers`` line a matrix, row-major, in KITTI's number style."""
        lines = []
        for name, matrix in self.matrices.items():
            lines.append(f"{name}: " + " ".join(f"{value:.12e}" for value in matrix.ravel()))
        return "\n".join(lines) + "\n"


def make_calibration(rig: int, height: float, pitch: float, roll: float) -> Calibration:
    """A camera ``height`` metres over the road, tilted down by ``pitch`` and to the right by ``roll`` radians."""
    width, rows, focal, centre_x, centre_y = RIGS[rig]
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
    rectify = _rotation(-0.0043, 0.0075, -0.0099 + 0.001 * rig)
    matrices["R0_rect"] = rectify
    matrices["Tr_velo_to_cam"] = np.column_stack(
        [_rotation(0.0, -0.0075, 0.004) @ [[0, -1, 0], [0, 0, -1], [1, 0, 0]], [-0.004, -0.076, -0.272]]
    )
    matrices["Tr_imu_to_velo"] = np.column_stack([_rotation(0.0148, -0.002, -0.0008), [-0.81, 0.32, -0.8]])
    # Tr_cam_to_road starts from the camera before rectification, hence the second factor.
    matrices["Tr_cam_to_road"] = np.column_stack([_rotation(-pitch, 0.0, roll) @ rectify, [0.01, -height, 0.29]])
    return Calibration((width, rows), matrices)


def _rotation(about_x: float, about_y: float, about_z: float) -> Array:
    (sx, sy, sz), (cx, cy, cz) = np.sin([about_x, about_y, about_z]), np.cos([about_x, about_y, about_z])
    x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return z @ y @ x
