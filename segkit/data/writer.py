"""What a network says of a picture, and the contract of what writes it: a data set may bring such (``writers()``)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.overlay import Area, Painter
from segkit.data.records import SegmentationClass


@dataclass(frozen=True)
class Prediction:
    """What the network says of one picture, at the picture's own size.

    Args:
        path: the picture's file.
        image: RGB uint8 (H, W, 3).
        classes: uint8 (H, W), the most probable ones.
        confidence: uint8 (H, W), 255 · probability: of class 1 where there are two, else of the class that was chosen.
        confidence_of: the same of each class that a writer has asked for.
        painter: paints the network's classes.
        areas: see :meth:`segkit.data.overlay.Painter.areas`.
    """

    path: Path
    image: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    confidence_of: Mapping[int, NDArray[np.uint8]]
    painter: Painter
    areas: Sequence[Area] = ()

    @property
    def class_list(self) -> Sequence[SegmentationClass]:
        """The network's, with the colours that they are painted in."""
        return self.painter.class_list

    @cached_property
    def painted(self) -> NDArray[np.uint8]:
        """The picture with the classes' colours, RGB uint8 (H, W, 3)."""
        return self.painter.paint(self.image, self.classes)

    def with_legend(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``painted``, on which more may have been drawn, with its legend where one is wanted."""
        return self.painter.with_legend(picture, self.areas)


class Writer(ABC):
    """One kind of output.

    Attributes:
        name: the kind's, and its folder's, where there is a PNG per picture.
        per_picture: whether there is.
        files: what ``finish`` may write beside these folders.
        needs: the class whose confidence it wants of each picture.
    """

    name: str
    per_picture = True
    files: tuple[str, ...] = ()
    needs: int | None = None

    @abstractmethod
    def encode(self, prediction: Prediction) -> bytes | None:
        """The content of the picture's PNG; None where there is none. Runs in any thread."""

    def finish(self, folder: Path, complete: bool) -> int | None:
        """Write what is of all pictures together; ``complete``: every one could be read.

        Returns:
            How many pictures that holds; None where nothing was written.
        """
        return None


class FrameWriter(ABC):
    """One file of all frames of a video or a drive, written while they come.

    Attributes:
        name: the kind's.
        files: what it may write into its folder.
    """

    name: str
    files: tuple[str, ...]

    @abstractmethod
    def encode(self, prediction: Prediction) -> Any:
        """What ``append`` is to be given of a frame. Runs in any thread."""

    @abstractmethod
    def append(self, path: Path, number: int, seconds: float, encoded: Any) -> None:
        """Write a frame; called in the frames' order, by one thread.

        Args:
            path: the prediction's.
            number: the frame's in the video, from 0; those that were left out are counted.
            seconds: its time.
            encoded: of ``encode``.
        """

    @abstractmethod
    def finish(self) -> int | None:
        """Complete the file and put it in its place; how many frames it holds, None where there is no file."""

    @abstractmethod
    def discard(self) -> None:
        """Remove what has been written."""


def png(array: NDArray[np.uint8]) -> bytes:
    """A PNG of grey (H, W) or RGB (H, W, 3)."""
    return cv2.imencode(".png", array[..., ::-1] if array.ndim == 3 else array)[1].tobytes()
