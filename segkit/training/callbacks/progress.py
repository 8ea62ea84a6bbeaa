"""What a person sees while training runs: a bar with loss, IoU and images/s, and one line for each epoch."""

import logging
import time
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from segkit.console import progress_bar
from segkit.runs.folder import write_result
from segkit.training.callbacks.step_losses import StepLosses
from segkit.training.callbacks.validation_epochs import is_validated

log = logging.getLogger(__name__)


class EpochReport(Callback):
    """One line per epoch in the paper's form, and the same figures as TensorBoard scalars.

    ``Epoch 9 loss: 0.0200`` is the loss of the epoch's last batch, as the paper printed it; the mean over the epoch's
    batches and the validation scores stand beside it. ``images_per_second`` is of loading and training, not validation.

    ``result.json`` says so much too, for those who look on while the run goes on.

    Args:
        losses: the losses of every batch.
        folder: the run folder.
        max_epochs, monitor: the settings of the run, for those who look on.
        place: where the run runs, for ``result.json``.

    Attributes:
        begun: whether training has begun; until then a checkpoint is restored.
        seconds_before: what a resumed run had trained for when the checkpoint that it goes on from was written.
    """

    WRITTEN_EVERY = 1.0
    """Seconds between two times that ``result.json`` is written: epochs may be shorter."""

    def __init__(self, losses: StepLosses, folder: Path, max_epochs: int, monitor: str, place: dict[str, Any]) -> None:
        self.losses = losses
        self.folder = folder
        self.about = {"max_epochs": max_epochs, "monitor": monitor, **place}
        self.started = time.time()
        self.written, self.begun = 0.0, False
        self.epochs: list[dict[str, float]] = []
        self.images_per_second = 0.0
        self.seconds_before = 0.0
        self.train_started = time.perf_counter()

    # Kept in last.ckpt, so that the result of a resumed run has all of its epochs, and the time that they took.
    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "seconds": self.seconds_before + time.perf_counter() - self.train_started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]
        self.seconds_before = state_dict.get("seconds", 0.0)  # older checkpoints have none

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.train_started, self.begun = time.perf_counter(), True
        self._write(trainer)

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.images = 0
        self.epoch_started = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        self.images += len(batch["image"]) * trainer.world_size
        self._update_rate()

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._update_rate()

    def _update_rate(self) -> None:
        self.images_per_second = self.images / (time.perf_counter() - self.epoch_started)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        number = trainer.current_epoch + 1
        validated = is_validated(trainer)
        if not validated:
            self._update_rate()  # nobody has since the last batch was sent to the device
        figures = {
            "loss": self.losses.last,
            "mean_loss": fmean(self.losses.epoch_losses),
            "images_per_second": self.images_per_second,
        }
        if validated:
            scores = trainer.callback_metrics.items()
            figures |= {name: float(value) for name, value in scores if name.startswith("val/")}
        self.epochs.append({"epoch": number} | figures)
        if trainer.logger is not None:
            trainer.logger.log_metrics(
                {"train/epoch_loss": figures["mean_loss"], "train/images_per_second": figures["images_per_second"]},
                step=trainer.global_step,
            )
        if trainer.is_global_zero:
            log.info("%s", epoch_line(number, figures, self.about["monitor"]))
        if time.monotonic() - self.written >= self.WRITTEN_EVERY:
            self._write(trainer)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        if self.begun:  # else the folder's result is an earlier attempt's
            with suppress(OSError):  # a full disk may be the very reason
                self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            about = {"status": "running", "started": self.started, **self.about}
            write_result(self.folder, "train", about | {"epochs": self.epochs})
            self.written = time.monotonic()


def epoch_line(number: int, figures: dict[str, float], monitor: str = "val/iou") -> str:
    """The line for people; the part about validation is left out where there was none.

    The regular expressions of :mod:`segkit.sagemaker.request` read it too.
    """
    line = f"Epoch {number} loss: {figures['loss']:.4f}  mean {figures['mean_loss']:.4f}"
    names = {"loss": "val/loss", "IoU": "val/iou", "accuracy": "val/accuracy"}
    names |= {} if monitor in names.values() else {monitor: monitor}
    shown = [f"{name} {figures[key]:.4f}" for name, key in names.items() if key in figures]
    line += f" | validation {'  '.join(shown)}" if shown else ""
    return f"{line} | {figures['images_per_second']:.1f} images/s"


class ProgressBar(Callback):
    """One bar over the batches of the epoch at hand."""

    def __init__(self, losses: StepLosses, report: EpochReport) -> None:
        self.losses = losses
        self.report = report

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.bar = progress_bar()
        self.bar.disable |= not trainer.is_global_zero
        self.bar.start()
        self.row = self.bar.add_task("", total=int(trainer.num_training_batches), note="")

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.bar.reset(self.row, description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        iou = next((epoch["val/iou"] for epoch in reversed(self.report.epochs) if "val/iou" in epoch), None)
        shown = f"loss {self.losses.last:.4f}  IoU {'–' if iou is None else f'{iou:.4f}'}"
        self.bar.update(self.row, advance=1, note=f"{shown}  {self.report.images_per_second:.1f} images/s")

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self.bar.stop()

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        if hasattr(self, "bar"):
            self.bar.stop()
