"""Training batches from a set that lies on the GPU as a whole: no loader processes, no transfers, no waiting."""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from segkit.data.ahead import ahead
from segkit.data.augment.base import BatchAugmentation, Key, check_made
from segkit.data.augment.sending import sent
from segkit.data.cache import Entry, entry_shape, load
from segkit.data.records import IGNORE_INDEX
from segkit.data.sampler import EpochSampler, SampleKey

SHARE_OF_MEMORY = 0.25
"""Of the GPU's free memory, the most that a set may take: the network has to fit too."""


def fits(entries: Sequence[Entry], device: torch.device) -> bool:
    """Whether the pictures of ``entries`` have one size and find room on a GPU, H × W × 4 bytes each."""
    shapes = {entry_shape(entry.pixels) for entry in entries}
    shape = shapes.pop()
    if shape is None or shapes:
        return False
    return len(entries) * math.prod(shape) <= SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]


MADE_TOGETHER = 16
"""Samples at most, of as many small batches as it takes: making one costs the processor as much as making all."""
PIXELS = MADE_TOGETHER * 160 * 576
"""What these have at most: making them takes memory."""


class ResidentLoader:
    """Gives the batches that a ``DataLoader`` with ``collate_training`` would give, on ``device``.

    Args:
        entries: the training pictures, all of one size.
        augmentation: makes the samples, prepared.
        seed: that of the augmentation.
        image_shape: height and width of the samples.
        batch_size: pictures in a batch; the last of an epoch may have fewer.
        sampler: the order; Lightning tells it the epoch.
        device: where the set and its batches lie.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        augmentation: BatchAugmentation,
        seed: int,
        image_shape: tuple[int, int],
        batch_size: int,
        sampler: EpochSampler,
        device: torch.device,
    ) -> None:
        self.augmentation, self.seed, self.image_shape = augmentation, seed, image_shape
        self.batch_size, self.sampler = batch_size, sampler
        self.names = [entry.record.name for entry in entries]
        self.pictures: torch.Tensor | None = None
        for number, (_, pixels) in enumerate(ahead(lambda entry: load(entry.pixels), entries)):
            if self.pictures is None:
                self.pictures = torch.empty(len(entries), *pixels.shape, dtype=torch.uint8, device=device)
            self.pictures[number] = torch.from_numpy(pixels).to(device)

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Batches of ``image`` uint8 (B, 3, H, W) in channels-last memory, ``label`` uint8 (B, H, W) and ``name``.

        Raises:
            UserError: the augmentation makes something else.
        """
        keys = iter(self.sampler)
        batches = iter(lambda: list(islice(keys, self.batch_size)), [])
        samples = min(MADE_TOGETHER, PIXELS // math.prod(self.image_shape))
        together = max(1, samples // self.batch_size)
        while parts := list(islice(batches, together)):
            sizes = [len(part) for part in parts]
            image, label = self._made([key for part in parts for key in part])
            for part, images, labels in zip(parts, image.split(sizes), label.split(sizes), strict=True):
                yield {"image": images, "label": labels, "name": [self.names[key.number] for key in part]}

    def _made(self, keys: Sequence[SampleKey]) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.pictures is not None
        own, count = [Key(self.seed, key.epoch, key.number) for key in keys], len(keys)
        made = self.augmentation.batch(self.pictures, own)
        check_made(made, self.augmentation, (count, 3, *self.image_shape), (count, *self.image_shape))
        image, label = made
        if not all(key.counts for key in keys):
            unscored = sent(np.array([not key.counts for key in keys]), label.device)
            label = label.masked_fill(unscored[:, None, None], IGNORE_INDEX)
        return image, label
