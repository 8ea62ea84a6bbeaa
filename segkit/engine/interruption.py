"""Ctrl-C and SIGTERM end a run between two batches, with everything written that belongs to it."""

import logging
import signal
import sys
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """A run was ended by a signal; the exit code is 128 + its number, as shells have it."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)

    def __str__(self) -> str:
        return self.signal.name


class Interruption(Callback):
    """Ends training after the batch at hand. A second signal ends it at once.

    The run goes on from ``last.ckpt``, the end of the last whole epoch, so that a resumed run takes exactly the steps
    that an uninterrupted one would have taken; the weights as they were when the signal came are kept beside it in
    ``interrupted.ckpt``.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint
        self.received: int | None = None
        self.handlers: dict[int, Any] = {}

    # At the start of training, not in setup: the handler that Lightning installs in between would come first.
    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.handlers = {number: signal.signal(number, self._note) for number in SIGNALS}

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._restore()
        if self.received is not None:  # after the last batch: all is saved, but what would follow is not wanted
            raise Interrupted(self.received)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            sys.exit(128 + number)
        self.received = number
        log.info("%s: stopping after this batch (again to stop at once)", signal.Signals(number).name)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        self._stop_if_asked(trainer)

    def on_validation_batch_end(self, trainer: Trainer, module: LightningModule, *rest: Any) -> None:
        self._stop_if_asked(trainer)

    def _stop_if_asked(self, trainer: Trainer) -> None:
        if self.received is not None:
            trainer.save_checkpoint(self.checkpoint, weights_only=True)
            raise Interrupted(self.received)
