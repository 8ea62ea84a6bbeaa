"""The order of samples: a function of (seed, epoch), whatever the number of processes."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """What a dataset is asked for: the record's ``number``, the ``epoch``, on which its augmentation depends, and
    whether it ``counts``. A sample that does not is there to give all processes equally much to do: none of its pixels
    is scored, so that neither loss nor scores depend on the number of processes."""

    epoch: int
    number: int
    counts: bool


class EpochSampler(Sampler[SampleKey]):
    """All processes share one order and process ``rank`` takes every ``world_size``-th sample of it.

    Training (``shuffle``) permutes anew in every epoch, evaluation keeps the order. Where the last round is not full,
    it is filled with first ones again, which do not count.
    """

    def __init__(self, length: int, seed: int, rank: int, world_size: int, shuffle: bool) -> None:
        self.length, self.seed, self.rank, self.world_size, self.shuffle = length, seed, rank, world_size, shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[SampleKey]:
        epoch = self.epoch
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
        for place in range(self.rank, len(self) * self.world_size, self.world_size):
            yield SampleKey(epoch, int(order[place % self.length]), place < self.length)

    def __len__(self) -> int:
        return -(-self.length // self.world_size)
