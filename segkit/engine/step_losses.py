"""The loss and learning rate of every batch: logged, averaged and watched without making the GPU wait at every step."""

import math

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from segkit.errors import UserError


class NonFiniteLossError(UserError):
    """The loss became infinite or not a number."""


class StepLosses(Callback):
    """Collects the losses on the device and fetches them ``block`` at a time.

    ``last`` is the latest loss that was fetched, ``epoch_losses`` those of the epoch so far. A loss that is not finite
    raises :class:`NonFiniteLossError` naming its step; the fetch before each checkpoint sees to it that none is
    written from weights that such a loss has spoiled.
    """

    def __init__(self, block: int = 50) -> None:
        self.block = block
        self.pending: list[Tensor] = []
        self.rates: list[float] = []
        self.epoch_losses: list[float] = []

    @property
    def last(self) -> float:
        return self.epoch_losses[-1] if self.epoch_losses else math.nan

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.pending, self.rates, self.epoch_losses = [], [], []

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        # Lightning has divided it by the number of batches that make up a step.
        self.pending.append(outputs["loss"].detach() * trainer.accumulate_grad_batches)
        if len(self.pending) >= self.block or module.device.type == "cpu":
            self.fetch(trainer)

    # Validation runs before the end of the epoch, and the best checkpoint is written at its end.
    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.fetch(trainer)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        # The epoch's last update is behind none of its training losses. NaN is right where nothing is scored at all.
        loss, accuracy = (float(trainer.callback_metrics[f"val/{name}"]) for name in ("loss", "accuracy"))
        if not math.isfinite(loss) and math.isfinite(accuracy):
            raise self._error(trainer, f"the validation loss is {loss} after epoch {trainer.current_epoch + 1}")

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self.fetch(trainer)

    def fetch(self, trainer: Trainer) -> None:
        """Bring the pending losses to the host, log them under their own batch number, and check them."""
        if not self.pending:
            return
        mine, rates = torch.stack(self.pending).float(), self.rates
        # Of several processes each has the loss of its part of the batches; all have fetched equally often.
        reduced = trainer.strategy.reduce(mine, reduce_op="mean")
        assert isinstance(reduced, Tensor)
        losses = reduced.tolist()
        self.pending, self.rates = [], []
        done = trainer.current_epoch * int(trainer.num_training_batches) + len(self.epoch_losses)
        for batch, (loss, rate) in enumerate(zip(losses, rates, strict=True), start=done + 1):
            self.epoch_losses.append(loss)
            if not math.isfinite(loss):
                raise self._error(trainer, f"the loss is {loss} at step {batch} (epoch {trainer.current_epoch + 1})")
            if trainer.logger is not None:
                trainer.logger.log_metrics({"train/loss": loss, "train/learning_rate": rate}, step=batch)

    def _error(self, trainer: Trainer, what: str) -> NonFiniteLossError:
        asked = trainer.lightning_module.hparams["learning_rate"]
        return NonFiniteLossError(
            f"{what}: training stopped, the checkpoints before it are kept.\n"
            f"Lower model.learning_rate (now {asked:g}), add model.warmup, or set trainer.clip"
        )
