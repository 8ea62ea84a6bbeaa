"""The order of samples: a function of (seed, epoch), whatever the number of processes."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index): the dataset needs the epoch to draw a sample's augmentation.

    All processes share one order and process ``rank`` takes every ``world_size``-th of it. Training (``shuffle``)
    permutes anew in every epoch and repeats the first few so that all processes take equally many steps; evaluation
    keeps the order, and repeats and drops nothing, so that its processes may differ by one sample.
    """

    def __init__(self, length: int, seed: int, rank: int, world_size: int, shuffle: bool) -> None:
        self.length, self.seed, self.rank, self.world_size, self.shuffle = length, seed, rank, world_size, shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
            order = np.resize(order, -(-self.length // self.world_size) * self.world_size)
        for index in order[self.rank :: self.world_size]:
            yield epoch, int(index)

    def __len__(self) -> int:
        if self.shuffle:
            return -(-self.length // self.world_size)
        return len(range(self.rank, self.length, self.world_size))
