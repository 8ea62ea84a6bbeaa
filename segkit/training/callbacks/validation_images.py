"""Painted validation pictures in TensorBoard: what the network has learnt, epoch by epoch."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from segkit.data.overlay import Area, Painter
from segkit.training.task import SegmentationTask

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class ValidationPictures(Callback):
    """``count`` validation pictures, evenly spread, painted with the prediction (left) and with the label (right).

    The label is striped where it is not scored. ``painter``: of the task's classes.

    They are drawn at the network's input size, in every validation of number ``every``, and in the last. A thread does
    so while training goes on: compressing four of them can take longer than all else of a validation.
    """

    def __init__(self, count: int = 4, every: int = 1, painter: Painter | None = None) -> None:
        self.count, self.every, self.painter = count, every, painter
        self._thread = ThreadPoolExecutor(1)
        self._running: list[Future[None]] = []

    def on_validation_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._finish()
        done = trainer.current_epoch + 1
        due = done // trainer.check_val_every_n_epoch % self.every == 0 or done == trainer.max_epochs  # type: ignore[operator]
        total = len(trainer.val_dataloaders.sampler)  # type: ignore[union-attr]  # this process's share of them
        chosen = {i * total // self.count for i in range(self.count)}
        self.wanted = chosen if due and trainer.is_global_zero else set()
        self.seen = 0

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, *rest) -> None:  # type: ignore[no-untyped-def]
        chosen = [i for i in range(len(batch["name"])) if self.seen + i in self.wanted]
        self.seen += len(batch["name"])
        # A task of the user's own may give something else.
        predicted = outputs.get("predicted") if isinstance(outputs, Mapping) else None
        if not chosen or predicted is None or not isinstance(trainer.logger, TensorBoardLogger):
            return
        assert isinstance(module, SegmentationTask)
        painter = self.painter or Painter(module.class_list)
        paint = partial(_show, painter, trainer.logger.experiment, trainer.global_step)
        for i in chosen:
            picture = batch["image"][i].permute(1, 2, 0).cpu().numpy()
            classes, label = (_sampled(each, *picture.shape[:2]) for each in (predicted[i], batch["label"][i]))
            self._running.append(self._thread.submit(paint, f"validation/{batch['name'][i]}", picture, classes, label))

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._finish()

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        wait(self._running)

    def _finish(self) -> None:
        wait(self._running)
        running, self._running = self._running, []
        for each in running:
            each.result()


Pixels = NDArray[np.uint8]


def _show(
    painter: Painter, writer: "SummaryWriter", step: int, name: str, picture: Pixels, classes: Pixels, label: Pixels
) -> None:
    """Paint an RGB picture (H, W, 3) with predicted classes and label, both (H, W), and write it."""
    pair = np.hstack([painter.paint(picture, classes), painter.paint_label(picture, label)])
    # The shares of the prediction in the label's order, which no epoch changes.
    shares = {area.number: 0.0 for area in painter.areas(label)} | dict(painter.areas(classes))
    shown = painter.with_legend(pair, [Area(*item) for item in shares.items()])
    writer.add_image(name, shown, step, dataformats="HWC")


def _sampled(classes: Tensor, height: int, width: int) -> Pixels:
    """Classes uint8 (H0, W0) at another size, those of the nearest pixel centres: classes are never blended."""
    return cv2.resize(classes.cpu().numpy(), (width, height), interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8)
