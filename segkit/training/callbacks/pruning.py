"""Ends a run that is a trial of a study, when the study has no hope for it any more."""

from pytorch_lightning import Callback, LightningModule, Trainer

from segkit.errors import Pruned
from segkit.runs.study import Trial, unpromising
from segkit.training.callbacks.validation_epochs import is_validated


class Pruning(Callback):
    """Reports the score of each epoch's validation to the study, and raises ``Pruned`` when that gives up on the trial.

    Only rank 0 talks to the study; all ranks end at the same epoch. The epoch's end comes after its lines have been
    written, so that they tell the score that the trial was ended for.

    Args:
        trial: the trial that the run is.
        monitor: the score that the study is about, as ``trainer.callback_metrics`` has it.
    """

    def __init__(self, trial: Trial, monitor: str) -> None:
        self.trial = trial
        self.monitor = monitor

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        score = trainer.callback_metrics.get(self.monitor)
        if score is None or not is_validated(trainer):  # of no score best.ckpt's choice says what is wrong
            return
        ended = trainer.is_global_zero and unpromising(self.trial, trainer.current_epoch, float(score))
        if trainer.strategy.broadcast(ended):
            number = trainer.current_epoch + 1
            raise Pruned(f"unpromising after epoch {number}: {self.monitor} {float(score):.4f}")
