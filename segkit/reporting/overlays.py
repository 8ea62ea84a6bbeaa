"""Painted pictures of runs, small enough to be committed and sent around."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segkit.data.records import evenly
from segkit.errors import UserError

WIDTH = 800
QUALITY = 85
"""Of JPEG."""


@dataclass(frozen=True)
class Shown:
    """The best or the worst run, and its painted pictures.

    Attributes:
        kind: ``best`` or ``worst``.
        text: which run it is, and its score.
        pictures: JPEG files by their names.
    """

    kind: str
    text: str
    pictures: dict[str, bytes]


def small_jpeg(source: Path) -> bytes:
    """A picture's JPEG file, at most 800 pixels wide.

    Raises:
        UserError: it cannot be read.
    """
    import cv2

    picture = cv2.imread(str(source))
    if picture is None:
        raise UserError(f"{source}: no picture that can be read")
    if picture.shape[1] > WIDTH:
        height = round(picture.shape[0] * WIDTH / picture.shape[1])
        picture = cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def overlays(run: Path) -> list[Path]:
    """The pictures that a run has painted, by their names."""
    return sorted((run / "predictions" / "overlay").glob("*.png"))


def same_pictures(runs: Sequence[Path], count: int) -> list[list[Path]]:
    """``count`` painted pictures of each run folder, the same ones where the runs have painted the same."""
    found = [overlays(run) for run in runs]
    common = set.intersection(*({path.name for path in paths} for paths in found)) if found else set()
    return [evenly([path for path in paths if path.name in common] if common else paths, count) for paths in found]
