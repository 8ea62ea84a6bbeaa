"""Training batches from a set that lies on the GPU as a whole: no loader processes, no transfers, no waiting."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from segkit.data.ahead import ahead
from segkit.data.augment import Augmentation
from segkit.data.cache import Entry, load
from segkit.data.records import IGNORE_INDEX
from segkit.data.sampler import EpochSampler

SHARE_OF_MEMORY = 0.25
"""Of the GPU's free memory, the most that a set may take: the network has to fit too."""


def fits(entries: Sequence[Entry], image_shape: tuple[int, int], device: torch.device) -> bool:
    """Whether the pictures and labels of ``entries``, H × W × 4 bytes each, find room on a GPU."""
    height, width = image_shape
    return len(entries) * height * width * 4 <= SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]


class ResidentLoader:
    """Gives the batches that a ``DataLoader`` with ``collate_training`` would give, on ``device``.

    Args:
        entries: the training pictures.
        augmentation: one that at most mirrors (``mirrors_only``).
        seed: that of the augmentation.
        batch_size: pictures in a batch; the last of an epoch may have fewer.
        sampler: the order; Lightning tells it the epoch.
        device: where the set and its batches lie.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        augmentation: Augmentation,
        seed: int,
        batch_size: int,
        sampler: EpochSampler,
        device: torch.device,
    ) -> None:
        assert augmentation.mirrors_only
        self.augmentation, self.seed, self.batch_size, self.sampler = augmentation, seed, batch_size, sampler
        self.names = [entry.record.name for entry in entries]
        height, width = augmentation.image_shape
        self.images = torch.empty(len(entries), height, width, 3, dtype=torch.uint8, device=device)
        self.labels = torch.empty(len(entries), height, width, dtype=torch.uint8, device=device)
        for number, (_, pixels) in enumerate(ahead(lambda entry: load(entry.pixels), entries)):
            sent = torch.from_numpy(pixels).to(device)
            self.images[number], self.labels[number] = sent[..., :3], sent[..., 3]

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Batches of ``image`` uint8 (B, 3, H, W) in channels-last memory, ``label`` uint8 (B, H, W) and ``name``."""
        keys = iter(self.sampler)
        while part := list(islice(keys, self.batch_size)):
            numbers = self._sent([key.number for key in part])
            image, label = self.images[numbers], self.labels[numbers]
            mirrored = [self.augmentation.mirrored((self.seed, key.epoch, key.number)) for key in part]
            if any(mirrored):
                chosen = self._sent(mirrored)
                image = torch.where(chosen[:, None, None, None], image.flip(2), image)
                label = torch.where(chosen[:, None, None], label.flip(2), label)
            if not all(key.counts for key in part):
                label = label.masked_fill(self._sent([not key.counts for key in part])[:, None, None], IGNORE_INDEX)
            names = [self.names[key.number] for key in part]
            yield {"image": image.permute(0, 3, 1, 2), "label": label, "name": names}

    def _sent(self, values: list[Any]) -> Tensor:
        """On the device, without waiting for what it is doing."""
        on_gpu = self.images.is_cuda
        return torch.tensor(values, pin_memory=on_gpu).to(self.images.device, non_blocking=True)
