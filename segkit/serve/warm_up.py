"""The first pictures' costs, paid before anybody waits: weights are laid out, and on a GPU batches recorded."""

import numpy as np

from segkit.predict.predictor import Segmenter


def warm_up(segmenter: Segmenter, shape: tuple[int, int], batch: int) -> None:
    """Show the network grey pictures of ``shape`` (height, width) in batches of 1, 2, 4, … up to ``batch``."""
    grey = np.full((*shape, 3), 128, np.uint8)
    count = 1
    while count <= batch:
        for probabilities in segmenter.probabilities_together([(segmenter.views(grey), shape)] * count):
            segmenter.decide(probabilities)
        count *= 2
