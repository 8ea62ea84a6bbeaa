"""Painted validation pictures in TensorBoard: what the network has learnt, epoch by epoch."""

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from segkit.engine.task import SegmentationTask
from segkit.visual import paint


class ValidationPictures(Callback):
    """The first ``count`` validation pictures, painted with the prediction (left) and with the label (right).

    They are drawn at the network's input size, where they cost little, every ``every`` epochs and at the last.
    """

    def __init__(self, count: int = 4, every: int = 1) -> None:
        self.count = count
        self.every = every
        self.drawn = 0

    def on_validation_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        due = (trainer.current_epoch + 1) % self.every == 0 or trainer.current_epoch + 1 == trainer.max_epochs
        self.drawn = 0 if due and trainer.is_global_zero else self.count

    def on_validation_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs, batch, batch_idx, *rest
    ) -> None:  # type: ignore[no-untyped-def]
        if self.drawn >= self.count or not isinstance(trainer.logger, TensorBoardLogger):
            return
        assert isinstance(module, SegmentationTask)
        chosen = batch["image"][: self.count - self.drawn]
        with torch.inference_mode():
            predicted = module.network(chosen).argmax(1).byte().cpu().numpy()
        height, width = chosen.shape[2:]
        for i, picture in enumerate(chosen.permute(0, 2, 3, 1).cpu().numpy()):
            # Nearest pixel centre: labels are never blended.
            label = batch["label"][i].cpu().numpy()
            rows = ((np.arange(height) + 0.5) * label.shape[0] / height).astype(int)
            columns = ((np.arange(width) + 0.5) * label.shape[1] / width).astype(int)
            pair = [
                paint(picture, classes, module.class_list) for classes in (predicted[i], label[rows[:, None], columns])
            ]
            trainer.logger.experiment.add_image(
                f"validation/{batch['name'][i]}", np.concatenate(pair, axis=1), trainer.global_step, dataformats="HWC"
            )
            self.drawn += 1
