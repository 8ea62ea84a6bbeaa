"""KITTI's calibration files: where a picture's camera stands over the road.

Camera and road axes are x right, y down, z ahead, in metres; the road plane is y = 0.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.data.records import Record
from segkit.errors import UserError

SHAPES: dict[str, tuple[int, int]] = {
    "P0": (3, 4),
    "P1": (3, 4),
    "P2": (3, 4),
    "P3": (3, 4),
    "R0_rect": (3, 3),
    "Tr_velo_to_cam": (3, 4),
    "Tr_imu_to_velo": (3, 4),
    "Tr_cam_to_road": (3, 4),
}
"""The matrices of a file and their shapes: the four cameras' projections (P2 is the left colour camera's), the
rectifying rotation, and the motions from laser to camera, from inertial unit to laser and from camera to road."""


class Calibration:
    """The matrices of one picture, float64, by their names in ``SHAPES``."""

    def __init__(self, matrices: Mapping[str, NDArray[np.float64]]) -> None:
        self.matrices = dict(matrices)
        self._ground: NDArray[np.float64] | None = None

    @classmethod
    def from_file(cls, path: Path | str) -> "Calibration":
        """Read a file of ``name: numbers`` lines, row-major; names other than those of ``SHAPES`` are passed over.

        Raises:
            UserError: naming file and line: a matrix is missing or there twice, has another count of numbers, holds
                text that is no finite number, or cannot be inverted where it has to be.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")  # an editor may have left its mark in front
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: is no text file") from error
        return cls.from_text(text, path)

    @classmethod
    def from_text(cls, text: str, path: Path | str) -> "Calibration":
        """As ``from_file``, from the file's content; ``path`` is for the error alone."""
        lines = text.splitlines()
        matrices: dict[str, NDArray[np.float64]] = {}
        for number, line in enumerate(lines, start=1):
            name, _, values = line.partition(":")
            name = name.strip()
            if name not in SHAPES:
                continue
            place = f"{path}, line {number}: {name}"
            if name in matrices:
                raise UserError(f"{place} is there for the second time")
            matrices[name] = _matrix(values.split(), SHAPES[name], place)
        missing = [name for name in SHAPES if name not in matrices]
        if missing:
            raise UserError(f"{path}: has no {', '.join(missing)} in its {len(lines)} lines")
        calibration = cls(matrices)
        if np.linalg.matrix_rank(matrices["Tr_cam_to_road"][:, :3]) < 3:
            raise UserError(f"{path}: Tr_cam_to_road is no motion, it cannot be inverted")
        if np.linalg.matrix_rank(calibration.ground_homography()) < 3:
            raise UserError(f"{path}: P2 and R0_rect show no road plane, they cannot be inverted")
        return calibration

    def text(self) -> str:
        """The file that ``from_file`` reads, in KITTI's number style."""
        lines = [
            f"{name}: " + " ".join(f"{value:.12e}" for value in matrix.ravel())
            for name, matrix in self.matrices.items()
        ]
        return "\n".join(lines) + "\n"

    def projection(self) -> NDArray[np.float64]:
        """Road coordinates (x, y, z, 1) in metres to homogeneous pixels of the left colour image: (3, 4).

        ``P2 · R0_rect · inv(Tr_cam_to_road)``, the two right ones filled up to 4 × 4 (KITTI road's readme). Pixels
        count from 1.
        """
        bias_relu, to_road = np.eye(4), np.eye(4)
        bias_relu[:3, :3] = self.matrices["R0_rect"]
        to_road[:3] = self.matrices["Tr_cam_to_road"]
        return self.matrices["P2"] @ bias_relu @ np.linalg.inv(to_road)

    def ground_homography(self) -> NDArray[np.float64]:
        """Points (x, z, 1) of the road plane in metres to homogeneous pixels: (3, 3)."""
        if self._ground is None:  # asked for at every warp
            self._ground = self.projection()[:, [0, 2, 3]]
        return self._ground


def calibration_of(record: Record) -> Calibration | None:
    """A record's calibration; None where there is none. Raises UserError as ``Calibration.from_file``."""
    return Calibration.from_file(record.extra["calibration"]) if "calibration" in record.extra else None


def _matrix(words: list[str], shape: tuple[int, int], place: str) -> NDArray[np.float64]:
    if len(words) != shape[0] * shape[1]:
        raise UserError(f"{place} has {len(words)} numbers instead of {shape[0]} × {shape[1]}")
    values = []
    for word in words:
        try:
            values.append(float(word))
        except ValueError as error:
            raise UserError(f"{place}: {word!r} is no number") from error
    if not np.isfinite(values).all():
        raise UserError(f"{place} holds a number that is not finite")
    return np.array(values).reshape(shape)
