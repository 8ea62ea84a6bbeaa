"""Fitting a task to a data set: what every process of a run does once its objects are built, be it one or many."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from segkit.config.schema import TrainerSettings
from segkit.data.module import SegmentationDataModule
from segkit.data.overlay import Painter
from segkit.data.workers import is_worker_lost
from segkit.distributed.devices import Processes
from segkit.distributed.ranks import Ranks
from segkit.errors import UserError, choices, printable
from segkit.models.trained import read_checkpoint
from segkit.runs.study import Trial
from segkit.training.callbacks.progress import EpochReport
from segkit.training.loggers import log_config
from segkit.training.task import SegmentationTask
from segkit.training.trainer import build_trainer

RESUMED = {
    "epoch": int,
    "global_step": int,
    "loops": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "callbacks": dict,
    "pytorch-lightning_version": str,
}
"""What Lightning wants of a checkpoint that training goes on from."""


@dataclass(frozen=True)
class Fitted:
    """The epochs of a run, as ``result.json`` has them, the seconds of its phases, and the largest memory in use on
    this process's GPU (GiB; None on the CPU)."""

    epochs: list[dict[str, float]]
    seconds: dict[str, float]
    gpu_memory_gib: float | None


def fit(
    task: SegmentationTask,
    data: SegmentationDataModule,
    options: TrainerSettings,
    last: Path,
    seed: int,
    processes: Processes,
    ranks: Ranks | None = None,
    trial: Trial | None = None,
    callbacks: Sequence[Callback] = (),
    config: Mapping[str, Any] | None = None,
    painter: Painter | None = None,
) -> Fitted:
    """Train, from ``last`` on where that is there.

    Args:
        task: what is trained.
        data: what it is trained on.
        options: the ``trainer`` group of the config.
        last: ``checkpoints/last.ckpt`` of the run folder.
        seed: of dropout and whatever else is random in a step.
        processes: the devices of the run.
        ranks: this process among those that train together.
        trial: the trial of a study that the run is.
        callbacks: the user's own.
        config: the whole config, for the logger.
        painter: of validation's pictures.

    Raises:
        UserError: settings or a checkpoint that do not fit; a loss that is not finite; not enough GPU memory.
        Pruned: the study has given up on the trial.
        Interrupted: a signal came.
    """
    started = time.perf_counter()
    resuming = last.exists()
    if resuming:
        check_resumable(read_checkpoint(last, "resume"), task, options)
    validation = data.records("val")
    if validation:
        check_monitor(options.monitor, task, data)
    else:
        check_callbacks(callbacks)
    validated = bool(validation)
    trainer, report = build_trainer(
        options, last.parents[1], seed, validated, processes, ranks, trial, callbacks, painter
    )
    if trainer.is_global_zero and trainer.logger is not None:
        log_config(trainer.logger, config or {})
    built = time.perf_counter()
    _fit(trainer, report, task, data, last if resuming else None)
    fitted = report.seconds_before + time.perf_counter() - built
    seconds = {"network": round(built - started, 3), "fit": round(fitted, 3)}
    memory = round(torch.cuda.max_memory_allocated() / 2**30, 3) if processes.indices else None
    return Fitted(report.epochs, seconds, memory)


def _fit(
    trainer: Trainer,
    report: EpochReport,
    task: SegmentationTask,
    data: SegmentationDataModule,
    checkpoint: Path | None,
) -> None:
    """Lightning's fit, with a GPU's lack of memory told as a setting that is too large."""
    try:
        trainer.fit(task, data, ckpt_path=checkpoint, weights_only=True)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if checkpoint is None or report.begun:
            raise
        raise UserError(
            f"resume: {printable(checkpoint)} is damaged, training cannot go on from it ({type(error).__name__}: "
            f"{printable(error)})\ninit_from={printable(checkpoint)} starts a new run from its weights"
        ) from error
    except MisconfigurationException as error:
        if "could not find the monitored key" not in str(error):
            raise
        # A class that no validation label holds has no score, which shows when all of them have been seen.
        raise UserError(f"trainer.monitor: validation has no such score ({str(error).split('.')[0]})") from error
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"out of GPU memory: {str(error).splitlines()[0]}\n"
            f"Lower data.batch_size (now {data.batch_size}) or data.image_shape, or set trainer.precision=bf16"
        ) from error
    except (RuntimeError, OSError, EOFError) as error:
        if not is_worker_lost(error):
            raise
        raise UserError(
            "a process that loads pictures has died (killed for want of memory?); lower data.workers or "
            "data.batch_size\nresume=<run folder> goes on with the run"
        ) from error


def check_resumable(checkpoint: Mapping[str, Any], task: SegmentationTask, options: TrainerSettings) -> None:
    """Hold a ``last.ckpt`` against the settings of the run that is to go on from it.

    Raises:
        UserError: another network, another score to choose by, or fewer epochs than were done already.
    """
    wrong = next((name for name, kind in RESUMED.items() if type(checkpoint.get(name)) is not kind), None)
    if wrong is not None or type(checkpoint["segkit"].get("epoch")) is not int:
        raise UserError(
            f"resume: {checkpoint['file']} has no {wrong or 'epoch'} of a training that can go on; "
            f"init_from={checkpoint['file']} starts a new run from its weights"
        )
    done = checkpoint["segkit"]["epoch"]
    if options.max_epochs < done:
        raise UserError(f"trainer.max_epochs={options.max_epochs}: this run has done {done} epochs already; give more")
    monitors = {
        state["monitor"]
        for name, state in checkpoint["callbacks"].items()
        if "FolderCheckpoint" in str(name) and isinstance(state, dict) and "monitor" in state
    } - {None}
    if monitors and options.monitor not in monitors:
        raise UserError(
            f"trainer.monitor={options.monitor}: this run has chosen its best checkpoint by {', '.join(monitors)}; "
            "go on with that"
        )
    try:
        task.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"resume: the model settings are not those that the run began with ({reason})") from error


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Hold callbacks against a run without validation.

    Raises:
        UserError: one of them, such as early stopping, watches a score of validation.
    """
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor.startswith("val/"):
            raise UserError(
                f"trainer.callbacks: {type(callback).__name__} watches {monitor}, which there is not without a "
                "validation part; leave it out"
            )


def check_monitor(monitor: str, task: SegmentationTask, data: SegmentationDataModule) -> None:
    """Hold ``trainer.monitor`` against the scores that validation will have.

    Raises:
        UserError: there is no such score, saying which there are.
    """
    records = data.records("val")
    contexts = [data.context(record) for record in records]
    # A score that needs what some pictures lack is not there at all.
    lacking = data.lacking(records)
    context = contexts[0] | dict.fromkeys(lacking)
    names = [f"val/{name}" for name in task.score_names(context)]
    if monitor not in names:
        hints = "".join(
            f"; {count} of {len(records)} validation pictures have no {what}" for what, count in lacking.items()
        )
        # Where a picture's calibration is missing, that is the matter, and not the name.
        there = f"{hints}; there are {', '.join(names)}" if hints else choices(monitor, names)
        raise UserError(f"trainer.monitor={monitor}: no such score{there}")
