"""Samples and batches. Everything that a worker process runs is here, free of Lightning's imports."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from segkit.data.augment.base import Key, Picture, SampleAugmentation, check_made
from segkit.data.cache import Entry, load
from segkit.data.records import IGNORE_INDEX
from segkit.data.sampler import SampleKey

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8], str]
"""Image uint8 (H, W, 3), label uint8, name."""


class TrainingSet(Dataset[Sample]):
    """Augmented pictures with labels at the training shape.

    Raises:
        UserError: from a sample, where the augmentation makes something else of it.
    """

    def __init__(
        self, entries: Sequence[Entry], augmentation: SampleAugmentation, seed: int, image_shape: tuple[int, int]
    ) -> None:
        self.entries, self.augmentation, self.seed, self.image_shape = entries, augmentation, seed, image_shape

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, key: SampleKey) -> Sample:
        epoch, number, counts = key
        made = self.augmentation(self._picture, Key(self.seed, epoch, number))
        check_made(made, self.augmentation, (*self.image_shape, 3), self.image_shape)
        image, label = made
        if not counts:
            label = np.full_like(label, IGNORE_INDEX)
        return image, label, self.entries[number].record.name

    def _picture(self, number: int) -> Picture:
        return load(self.entries[number].pixels)


Context = Mapping[str, Any]
"""What the data set's own metrics are told of a picture besides prediction and label."""

EvaluationSample = tuple[NDArray[np.uint8], NDArray[np.uint8], str, Context]
"""Image uint8 (H, W, 3), label uint8, name, context."""


class EvaluationSet(Dataset[EvaluationSample]):
    """Pictures as they are resized, with labels at their own size, 255 throughout where there is no label."""

    def __init__(self, entries: Sequence[Entry], contexts: Sequence[Context]) -> None:
        self.entries, self.contexts = entries, contexts

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, key: SampleKey) -> EvaluationSample:
        entry = self.entries[key.number]
        assert entry.own_label is not None
        label = load(entry.own_label)
        if label.ndim == 1:
            label = np.full(tuple(label), IGNORE_INDEX, np.uint8)
        elif not key.counts:
            label = np.full_like(label, IGNORE_INDEX)
        return load(entry.pixels)[..., :3], label, entry.record.name, self.contexts[key.number]


def collate_training(samples: Sequence[Sample]) -> dict[str, Any]:
    """``image`` uint8 (B, 3, H, W) in channels-last memory, ``label`` uint8 (B, H, W), ``name`` list of B."""
    labels = torch.from_numpy(np.stack([label for _, label, _ in samples]))
    images = [image for image, *_ in samples]
    return {"image": _batched(images), "label": labels, "name": [name for *_, name in samples]}


def collate_evaluation(samples: Sequence[EvaluationSample]) -> dict[str, Any]:
    """As ``collate_training``, but ``label`` is a list of B tensors, uint8 (H0, W0) of each picture's own size.

    ``image`` is a list of B tensors (3, H, W) where the pictures differ in size.

    ``context`` is a list of B: keyword arguments for the metrics, see ``SegmentationDataModule.context``.
    """
    images, labels, names, contexts = (list(column) for column in zip(*samples, strict=True))
    return {
        "image": _batched(images) if len({image.shape for image in images}) == 1 else [*map(_tensor, images)],
        "label": [torch.from_numpy(label) for label in labels],
        "name": names,
        "context": contexts,
    }


def _tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def _batched(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
