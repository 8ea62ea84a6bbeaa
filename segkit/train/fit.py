"""Fitting a network: what every process of a run does, be it one or many."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from segkit.config.instantiate import build
from segkit.data.module import SegmentationDataModule
from segkit.distributed.devices import training_processes
from segkit.distributed.ranks import Ranks
from segkit.errors import UserError
from segkit.road import Calibration
from segkit.runs.study import Trial
from segkit.train.checkpoints import read_checkpoint
from segkit.train.task import SegmentationTask
from segkit.train.trainer import build_trainer, log_config


@dataclass(frozen=True)
class Fitted:
    """The epochs of a run, as ``result.json`` has them, the seconds of its phases, and the largest memory in use on
    this process's GPU (GiB; None on the CPU)."""

    epochs: list[dict[str, float]]
    seconds: dict[str, float]
    gpu_memory_gib: float | None


def fit(
    settings: dict[str, Any],
    last: Path,
    trial: Trial | None = None,
    data: SegmentationDataModule | None = None,
) -> Fitted:
    """Build the network and train it, from ``last`` on where that is there.

    Args:
        settings: the whole config.
        last: ``checkpoints/last.ckpt`` of the run folder.
        trial: the trial of a study that the run is.
        data: the data module, where this process has prepared it already.

    Raises:
        UserError: weights, settings or a checkpoint that do not fit; a loss that is not finite; not enough GPU memory.
        Pruned: the study has given up on the trial.
        Interrupted: a signal came.
    """
    started = time.perf_counter()
    ranks = Ranks.from_environment()
    processes = training_processes(settings["trainer"], ranks)
    if data is None:
        data = build("data", settings["data"], SegmentationDataModule)
    seed_everything(settings["seed"], verbose=False)
    resuming = last.exists()
    task = _task(settings, data, None if resuming else settings["model"].get("weights"))
    if resuming:
        check_resumable(read_checkpoint(last, "resume"), task, settings["trainer"])
    validation = data.records("val")
    if settings["trainer"]["compile"]:
        # Beside the pictures: the system's folder for temporary files, torch's own choice, does not outlast a reboot.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(data.cache_dir.absolute() / "compiled"))
        task.compile_step()
    if validation:
        check_monitor(settings["trainer"]["monitor"], task, validation)
    folder = last.parents[1]
    trainer, report = build_trainer(
        settings["trainer"], folder, settings["seed"], bool(validation), processes, ranks, trial
    )
    if trainer.is_global_zero:
        log_config(trainer.logger, settings)  # type: ignore[arg-type]
    built = time.perf_counter()
    _fit(trainer, task, data, last if resuming else None)
    seconds = {"network": built - started, "fit": time.perf_counter() - built}
    seconds = {phase: round(value, 3) for phase, value in seconds.items()}
    memory = round(torch.cuda.max_memory_allocated() / 2**30, 3) if processes.indices else None
    return Fitted(report.epochs, seconds, memory)


def _task(settings: dict[str, Any], data: SegmentationDataModule, weights: str | None) -> SegmentationTask:
    task: SegmentationTask = build(
        "model",
        settings["model"] | ({"weights": weights} if "weights" in settings["model"] else {}),
        SegmentationTask,
        classes=[{"name": c.name, "colour": c.colour and list(c.colour)} for c in data.class_list],
        image_shape=list(settings["data"]["image_shape"]),
        road_target=data.road_target,
    )
    return task


def _fit(trainer: Trainer, task: SegmentationTask, data: SegmentationDataModule, checkpoint: Path | None) -> None:
    """Lightning's fit, with a GPU's lack of memory told as a setting that is too large."""
    try:
        trainer.fit(task, data, ckpt_path=checkpoint, weights_only=True)
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


def check_resumable(checkpoint: dict[str, Any], task: SegmentationTask, settings: dict[str, Any]) -> None:
    """Hold a ``last.ckpt`` against the ``trainer`` settings of the run that is to go on from it.

    Raises:
        UserError: another network, another score to choose by, or fewer epochs than were done already.
    """
    done, max_epochs = checkpoint["segkit"]["epoch"], settings["max_epochs"]
    if max_epochs < done:
        raise UserError(f"trainer.max_epochs={max_epochs}: this run has done {done} epochs already; give more")
    monitors = {state["monitor"] for state in checkpoint["callbacks"].values() if state.get("monitor")}
    if monitors and settings["monitor"] not in monitors:
        raise UserError(
            f"trainer.monitor={settings['monitor']}: this run has chosen its best checkpoint by {', '.join(monitors)}; "
            "go on with that"
        )
    try:
        task.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"resume: the model settings are not those that the run began with ({reason})") from error


def check_monitor(monitor: str, task: SegmentationTask, records: list[Any]) -> None:
    """Hold ``trainer.monitor`` against the scores that validation on ``records`` will have.

    Raises:
        UserError: there is no such score, saying which there are.
    """
    files = [record.calibration for record in records]
    calibration = None if None in files else Calibration.from_file(files[0])
    names = [f"val/{name}" for name in task.score_names(records[0].group, calibration)]
    if monitor not in names:
        bare = sum(file is None for file in files)
        scored = any("/perspective/" in name for name in names)
        hint = f"; {bare} of {len(files)} validation pictures have no calibration" if bare and scored else ""
        raise UserError(f"trainer.monitor={monitor}: no such score{hint}; there are {', '.join(names)}")
