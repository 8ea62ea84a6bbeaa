"""After which epochs a run is validated."""

from pytorch_lightning import Callback, LightningModule, Trainer


def is_validated(trainer: Trainer) -> bool:
    """Whether the epoch at hand ends with a validation; after others, ``callback_metrics`` are an earlier epoch's."""
    has_validation = bool(trainer.num_val_batches) and sum(trainer.num_val_batches) > 0
    return has_validation and (trainer.current_epoch + 1) % trainer.check_val_every_n_epoch == 0  # type: ignore[operator]


class ValidationEpochs(Callback):
    """Every ``every`` epochs, and after the last one: what training ends with is always scored.

    Lightning's own setting, ``check_val_every_n_epoch``, knows multiples alone. The trainer is built with it all the
    same: early stopping asks for it once, before the first epoch.
    """

    def __init__(self, every: int) -> None:
        self.every = every

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        last = trainer.current_epoch + 1 == trainer.max_epochs
        trainer.check_val_every_n_epoch = 1 if last else self.every
