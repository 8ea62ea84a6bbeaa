"""Random numbers that depend on (seed, epoch, rank) alone, so that a resumed run draws the same ones."""

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class EpochSeed(Callback):
    """Restarts torch's generators (dropout) before the first batch of every epoch.

    A run that goes on after epoch k then needs no generator state to repeat what an uninterrupted run draws.
    Sample order and augmentation are seeded in the same way where they are drawn, in ``segkit.data``.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        if batch_idx > 0:
            return
        # Not before the first batch is there: a loader without workers draws a number when it begins an epoch, and
        # Lightning has it begin a process's first epoch earlier than the others.
        key = (self.seed, trainer.current_epoch, trainer.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1)))
