"""Back-projection: where on the road plane each pixel below the horizon looks."""

from dataclasses import dataclass

import cv2
import numpy as np

from segkit.scenes.arrays import Array
from segkit.scenes.layout import FARTHEST, NEAREST, View


@dataclass(frozen=True)
class Ground:
    """Road-plane coordinates of the rows from ``top`` down, each (rows, width) float32 in metres.

    ``beyond`` marks pixels whose ground is nearer or farther than what is painted.
    """

    top: int
    x: Array
    z: Array
    d: Array
    beyond: Array


def ground_points(view: View) -> Ground:
    """Back-project every pixel below the horizon to the road plane, at pixel centres."""
    width, height = view.drive.size
    inverse = np.linalg.inv(view.calibration.ground_homography())
    inverse /= np.sign(inverse[2] @ (width / 2, height, 1.0))
    columns = np.array([0.0, width - 1.0])
    # The horizon is where the third coordinate is 0; start above the farthest ground of either image border.
    rows = -(inverse[2, 0] * columns + inverse[2, 2]) / inverse[2, 1]
    top = int(np.clip(np.floor(rows.min()), 0, height - 1))
    u, v = np.arange(width, dtype=np.float64), np.arange(top, height, dtype=np.float64)[:, None]
    x, z, w = (row[0] * u + row[1] * v + row[2] for row in inverse)
    below = w > 1e-6
    w = np.where(below, w, 1.0)
    x, z = (x / w).astype(np.float32), (z / w).astype(np.float32)
    beyond = ~below | (z > FARTHEST) | (z < NEAREST)
    z[beyond] = FARTHEST
    x[beyond] = 0
    steps = np.arange(0.0, FARTHEST + 1.0, 0.25)
    course = view.centre(steps).astype(np.float32)[None]
    centre = cv2.remap(course, z * 4, np.zeros_like(z), cv2.INTER_LINEAR)
    return Ground(top, x, z, x - centre, beyond)
