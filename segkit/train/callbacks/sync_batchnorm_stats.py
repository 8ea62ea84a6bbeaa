"""Batch normalisation's running statistics where several processes train one network."""

import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class SharedStatistics(Callback):
    """Gives all processes the mean of their running statistics before validation and before the epoch is saved.

    Each normalises with the statistics of its own part of a batch. torch's way, to send rank 0's at every step and at
    every validation batch, costs more, leaves out what the others have seen, and hangs if their batches are not equally
    many.
    """

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._share(trainer, module)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._share(trainer, module)

    @staticmethod
    def _share(trainer: Trainer, module: LightningModule) -> None:
        if trainer.world_size > 1:
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    torch.distributed.all_reduce(buffer)
                    buffer /= trainer.world_size
