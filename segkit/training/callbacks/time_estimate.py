"""How long training will take, said while there is still time to do something about it."""

import logging
import time

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from segkit.console import duration

SKIPPED, MEASURED = 9, 10
"""Steps that do not count, in which kernels are chosen and the fast step is tried, and those that are timed."""

log = logging.getLogger(__name__)


class TimeEstimate(Callback):
    """One line, after 19 steps where an epoch has as many: the time of the steps that are left.

    Validation is not in it: how long that takes nobody knows yet.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.timed_from: tuple[int, float] | None = None
        self.said = False

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.timed_from = None  # between epochs other things take time

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs, batch, batch_idx: int) -> None:  # type: ignore[no-untyped-def]
        self.steps += 1
        if self.said or self.steps < SKIPPED:
            return
        if self.timed_from is None:
            self.timed_from = batch_idx, _now(module)
        elif batch_idx - self.timed_from[0] == MEASURED:
            self.said = True
            epochs = (trainer.max_epochs or 0) - trainer.current_epoch
            left = epochs * int(trainer.num_training_batches) - batch_idx - 1
            seconds = left * (_now(module) - self.timed_from[1]) / MEASURED
            if left > MEASURED and trainer.is_global_zero:
                log.info("%d steps to go: about %s, without validation", left, duration(seconds))


def _now(module: LightningModule) -> float:
    """Seconds, when the GPU has done what it was given: the host runs ahead of it."""
    if module.device.type == "cuda":
        torch.cuda.synchronize(module.device)
    return time.perf_counter()
