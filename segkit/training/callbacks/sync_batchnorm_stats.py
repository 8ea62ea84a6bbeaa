"""Batch normalisation's running statistics where several processes train one network."""

from collections.abc import Iterable

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor


class SharedStatistics(Callback):
    """Gives all processes the mean of their running statistics before validation and before the epoch is saved.

    Each normalises with the statistics of its own part of a batch. torch's way, to send rank 0's at every step and at
    every validation batch, costs more, leaves out what the others have seen, and hangs if their batches are not equally
    many.
    """

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        share(module.buffers(), trainer.world_size)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        share(module.buffers(), trainer.world_size)


def share(statistics: Iterable[Tensor], processes: int) -> None:
    """Replace each tensor of floating point by its mean over the processes."""
    if processes > 1:
        for tensor in statistics:
            if tensor.is_floating_point():
                torch.distributed.all_reduce(tensor)
                tensor /= processes
