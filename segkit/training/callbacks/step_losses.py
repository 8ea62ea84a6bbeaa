"""The loss and learning rate of every batch: logged, averaged and watched without making the GPU wait at every step."""

import math
from collections.abc import Iterator

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from segkit.errors import UserError


class NonFiniteLossError(UserError):
    """The loss became infinite or not a number."""


class StepLosses(Callback):
    """Collects the losses on the device and fetches them ``block`` at a time.

    A block is on its way to the host while the next is computed, so that neither waits for the other.

    ``last`` is the latest loss that was fetched, ``epoch_losses`` those of the epoch so far. A loss that is not finite
    raises :class:`NonFiniteLossError` naming its step; the fetch at an epoch's end, before its checkpoints, sees to it
    that none is written from weights that such a loss has spoiled.
    """

    def __init__(self, block: int = 50) -> None:
        self.block = block
        self.pending: list[Tensor] = []
        self.rates: list[float] = []
        self.sent: _Block | None = None
        self.epoch_losses: list[float] = []

    @property
    def last(self) -> float:
        return self.epoch_losses[-1] if self.epoch_losses else math.nan

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.pending, self.rates, self.sent, self.epoch_losses = [], [], None, []

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        # Lightning has divided it by the number of batches that make up a step.
        self.pending.append(outputs["loss"].detach() * trainer.accumulate_grad_batches)
        if module.device.type == "cpu":
            self.fetch(trainer)
        elif len(self.pending) >= self.block:
            self._send(trainer)

    # Validation runs before the end of the epoch, and the best checkpoint is written at its end.
    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.fetch(trainer)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        # The epoch's last update is behind none of its training losses. NaN is right where nothing is scored at all.
        loss = float(trainer.callback_metrics["val/loss"])
        if not math.isfinite(loss) and float(module.val_weight.compute()) > 0:  # type: ignore[operator, union-attr]
            raise self._error(trainer, f"the validation loss is {loss} after epoch {trainer.current_epoch + 1}")

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self.fetch(trainer)

    def fetch(self, trainer: Trainer) -> None:
        """Bring all losses to the host, log them under their own batch number, and check them."""
        if self.pending:
            self._send(trainer)
        self._receive(trainer)

    def _send(self, trainer: Trainer) -> None:
        """Send the pending losses on their way, and take in those that were sent before."""
        # Of several processes each has the loss of its part of the batches; all send equally often.
        losses = trainer.strategy.reduce(torch.stack(self.pending).float(), reduce_op="mean")
        assert isinstance(losses, Tensor)
        block = _Block(losses, self.rates)
        self.pending, self.rates = [], []
        self._receive(trainer)
        self.sent = block

    def _receive(self, trainer: Trainer) -> None:
        if self.sent is None:
            return
        block, self.sent = self.sent, None
        done = trainer.current_epoch * int(trainer.num_training_batches) + len(self.epoch_losses)
        for batch, (loss, rate) in enumerate(block.pairs(), start=done + 1):
            self.epoch_losses.append(loss)
            if not math.isfinite(loss):
                raise self._error(trainer, f"the loss is {loss} at step {batch} (epoch {trainer.current_epoch + 1})")
            if trainer.logger is not None:
                trainer.logger.log_metrics({"train/loss": loss, "train/learning_rate": rate}, step=batch)

    def _error(self, trainer: Trainer, what: str) -> NonFiniteLossError:
        group = trainer.optimizers[0].param_groups[0]
        asked = group.get("initial_lr", group["lr"])  # the first is a scheduler's, which a user's own task may lack
        return NonFiniteLossError(
            f"{what}: training stopped, the checkpoints before it are kept.\n"
            f"Lower optimizer.learning_rate (now {asked:g}), add optimizer.warmup, or set trainer.clip"
        )


class _Block:
    """Losses on their way from the device to the host, and the learning rates of their batches."""

    def __init__(self, losses: Tensor, rates: list[float]) -> None:
        self.rates = rates
        on_gpu = losses.is_cuda
        self.losses = torch.empty(losses.shape, pin_memory=on_gpu)
        self.losses.copy_(losses, non_blocking=True)
        self.arrived = torch.cuda.Event() if on_gpu else None
        if self.arrived is not None:
            self.arrived.record()

    def pairs(self) -> Iterator[tuple[float, float]]:
        """(loss, learning rate) of each batch; waits until the losses are there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return zip(self.losses.tolist(), self.rates, strict=True)
