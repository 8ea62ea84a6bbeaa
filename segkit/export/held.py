"""An exported file beside the network in PyTorch: whether it gives the same, and how fast."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.data.images import decode_image
from segkit.predict.predictor import Segmenter

MOST = 32
"""Pictures that are compared."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Held:
    """What came of it.

    Attributes:
        pictures: how many were shown.
        differing: share of all their pixels that are of another class.
        confidence: largest difference of confidence, of 255.
        per_second, plain_per_second: pictures of the file and of PyTorch, from the picture in memory to its mask.
    """

    pictures: int
    differing: float
    confidence: int
    per_second: float
    plain_per_second: float


def hold(file: Segmenter, network: Segmenter, pictures: Sequence[Path | Picture], on_done: Callable[[], None]) -> Held:
    """Show every picture to both. ``on_done`` is called after each.

    Raises:
        UserError: a picture that cannot be read.
    """
    differing = pixels = largest = 0
    seconds = [0.0, 0.0]
    for number, item in enumerate(pictures):
        picture = decode_image(item) if isinstance(item, Path) else item
        if number == 0:  # a first picture's costs are not those of many
            file.predict(picture), network.predict(picture)
        answers = []
        for place, program in enumerate((file, network)):
            begun = time.perf_counter()
            answers.append(program.predict(picture))
            seconds[place] += time.perf_counter() - begun
        (mask, sure), (expected, expected_sure) = answers
        differing += int((mask != expected).sum())
        pixels += mask.size
        largest = max(largest, int(np.abs(sure.astype(int) - expected_sure).max()))
        on_done()
    rates = [len(pictures) / each for each in seconds]
    return Held(len(pictures), differing / pixels, largest, *rates)
