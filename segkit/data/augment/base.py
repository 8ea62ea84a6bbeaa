"""What an augmentation is to the data module."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.errors import UserError


class Key(NamedTuple):
    """What a sample depends on, and nothing else: not on the process, the batch or the device that makes it.

    ``number`` is the picture's among the training pictures.
    """

    seed: int
    epoch: int
    number: int


Picture = NDArray[np.uint8]
"""uint8 (H, W, 4): RGB and the label, of any size."""


class SampleAugmentation(ABC):
    """Makes a sample from the picture of a key. One of your own implements ``__call__``."""

    imports: tuple[str, ...] = ()
    """Modules that loader processes should have imported before they start."""

    def prepare(self, picture_input: PictureInput, class_list: Sequence[SegmentationClass], count: int) -> None:
        """Called once, before the first sample.

        Args:
            picture_input: the shape that all samples have to have, and the size of the pictures.
            class_list: the classes by their values in labels.
            count: training pictures.

        Raises:
            UserError: the augmentation's settings do not fit.
        """
        self.image_shape, self.count = picture_input.image_shape, count

    @abstractmethod
    def __call__(self, picture: Callable[[int], Picture], key: Key) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The sample of ``key``: RGB uint8 (h, w, 3) and label uint8 (h, w), 255 where there is no picture.

        ``picture(number)`` reads a training picture; that of the sample is ``picture(key.number)``.
        """


class BatchAugmentation(SampleAugmentation):
    """One that makes whole batches too, on the device where the pictures lie: a set is then held on the GPU."""

    @abstractmethod
    def batch(self, pictures: Tensor, keys: Sequence[Key]) -> tuple[Tensor, Tensor]:
        """The samples of ``keys``: image uint8 (B, 3, h, w) in channels-last memory and label uint8 (B, h, w).

        The GPU is not waited for.

        Args:
            pictures: all training pictures, uint8 (N, H, W, 4).
            keys: of one batch, or of several small ones in a row.
        """


def check_made(made: Any, augmentation: SampleAugmentation, image: tuple[int, ...], label: tuple[int, ...]) -> None:
    """Hold what an augmentation has made, a sample or a batch, against what it has to be.

    Args:
        made: what it returned.
        augmentation: which one.
        image: the shape that the picture has to have.
        label: that of the label.

    Raises:
        UserError: naming the augmentation, what it has to return and what it does return.
    """
    parts = made if isinstance(made, tuple) else (made,)
    wanted, got = [f"uint8 {image}", f"uint8 {label}"], [*map(_described, parts)]
    if got != wanted:
        raise UserError(
            f"augment: {class_path(augmentation)} has to return image {wanted[0]} and label {wanted[1]} for "
            f"data.image_shape={list(image[:2] if len(label) == 2 else image[2:])}; it returns {', '.join(got)}"
        )


def _described(part: Any) -> str:
    if not isinstance(part, np.ndarray | Tensor):
        return type(part).__name__
    return f"{str(part.dtype).removeprefix('torch.')} {tuple(part.shape)}"


def class_path(thing: Any) -> str:
    """The dotted path of a thing's class, as ``_target_`` has it."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
