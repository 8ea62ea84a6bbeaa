"""Ctrl-C and SIGTERM end a run between two batches, with everything written that belongs to it."""

import logging
import signal
import sys
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from segkit.console import say_apart
from segkit.errors import Interrupted
from segkit.training.checkpoints import LastCheckpoint

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)

ASKED_EVERY = 8
"""Batches between two times that several processes on GPUs ask each other: asking makes them wait for each other."""


class Interruption(Callback):
    """Ends training after the batch at hand, or after the epoch. A second signal ends it at once.

    The run goes on from ``last.ckpt``, the end of the last whole epoch, so that a resumed run takes exactly the steps
    that an uninterrupted one would have taken; the weights as they were when the signal came are kept beside it in
    ``interrupted.ckpt``. Where whole epochs have passed since ``last.ckpt`` was written, which are short ones then
    (:class:`segkit.training.checkpoints.LastCheckpoint`), the one at hand is gone through too, and kept: none is lost.

    Several processes stop after the same batch, whichever of them was told. A second signal does not count there: what
    started them may well send it on to those that the terminal has told already.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint
        self.received: int | None = None
        self.last: LastCheckpoint | None = None
        self.several = False
        self.handlers: dict[int, Any] = {}

    # At the start of training, not in setup: the handler that Lightning installs in between would come first.
    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.several = trainer.world_size > 1
        self.last = next((each for each in trainer.checkpoint_callbacks if isinstance(each, LastCheckpoint)), None)
        self.handlers = {number: signal.signal(number, self._note) for number in SIGNALS}

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._restore()
        asked = self._asked()
        if asked is not None:  # after the last batch: all is saved, but what would follow is not wanted
            raise Interrupted(asked)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            if self.several:
                return
            sys.exit(128 + number)
        self.received = number
        again = "" if self.several else " (again to stop at once)"
        what = "epoch, so that none is lost" if self.last is not None and self.last.behind else "batch"
        say_apart(log.info, "%s: stopping after this %s%s", signal.Signals(number).name, what, again)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        self._stop_if_asked(trainer, batch_idx)

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, *rest) -> None:  # type: ignore[no-untyped-def]
        self._stop_if_asked(trainer, batch_idx)

    def _stop_if_asked(self, trainer: Trainer, batch_idx: int) -> None:
        if self.several and trainer.strategy.root_device.type == "cuda" and batch_idx % ASKED_EVERY:
            return
        if self.last is not None and self.last.wanted:
            return
        asked = self._asked()
        if asked is None:
            return
        if self.last is not None and self.last.behind:
            self.last.wanted = True
            return
        trainer.save_checkpoint(self.checkpoint, weights_only=True)
        raise Interrupted(asked)

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        if self.last is not None and self.last.wanted:  # what was asked for at the end of the epoch before is there
            raise Interrupted(self._asked() or signal.SIGTERM)

    def _asked(self) -> int | None:
        """The signal that this process, or any of several, has got."""
        if not self.several:
            return self.received
        flag = torch.tensor(self.received or 0)  # on the CPU: no GPU is waited for
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        return int(flag) or None
