"""``segkit train``: from a composed config to a run folder.

Reads from top to bottom: data checked and cached, network built, fitted, ``result.json`` written, pictures painted.
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segkit.console import progress_bar
from segkit.engine.run_folder import CONFIG, RunFolder, environment, write_result
from segkit.errors import UserError
from segkit.settings import TrainSettings

SETTINGS = TrainSettings
log = logging.getLogger(__name__)


def prepare_arguments(arguments: list[str]) -> list[str]:
    """Turn ``resume=<run folder>`` into the command that made that run, in the same folder.

    What else stands on the command line comes after it and so wins (``trainer.max_epochs=40`` to train longer).
    """
    folders = [word.removeprefix("resume=") for word in arguments if word.startswith("resume=")]
    if not folders:
        return arguments
    from omegaconf import OmegaConf

    folder = Path(folders[-1]).expanduser()
    saved = folder / CONFIG / "overrides.yaml"
    if not saved.is_file():
        raise UserError(f"resume={folder}: no run folder of segkit train ({saved} does not exist)")
    overrides = [str(word) for word in OmegaConf.load(saved)]
    given = [word for word in arguments if not word.startswith("resume=")]
    sources = OmegaConf.load(folder / CONFIG / "hydra.yaml").runtime.config_sources
    own = [f"--config-dir={source.path}" for source in sources if source.provider == "command-line"]
    if any(word.startswith(("--config-dir", "-cd")) for word in given):
        own = []
    return [*own, *overrides, *given, f"hydra.run.dir={folder}"]


def run(settings: dict[str, Any], folder: RunFolder) -> float | None:
    """Train in ``folder``. Returns the best checkpoint's ``trainer.monitor``, for sweepers; None without validation.

    Raises:
        UserError: data, weights or settings that do not fit; a loss that is not finite.
    """
    watch = Stopwatch()
    with watch.phase("import"):
        from pytorch_lightning import seed_everything

        from segkit.build import build, import_subclass
        from segkit.data.module import SegmentationDataModule
        from segkit.engine.checkpoints import epochs_done, read_checkpoint
        from segkit.engine.devices import one_gpu
        from segkit.engine.interruption import Interrupted
        from segkit.engine.predictor import Predictor
        from segkit.engine.task import SegmentationTask
        from segkit.engine.trainer import build_trainer, log_config, log_scores
        from segkit.painting import Picture, paint_pictures

    gpu = one_gpu(settings["trainer"]["gpus"], "trainer.gpus")
    import_subclass(settings["model"]["_target_"], SegmentationTask, "model._target_")  # before the data takes its time
    seed_everything(settings["seed"], verbose=False)

    with watch.phase("data"):
        data = build("data", SegmentationDataModule, settings["data"])
        with progress_bar() as bar:
            row = bar.add_task("checking and caching pictures", note="")
            data.prepare(lambda done, total: bar.update(row, completed=done, total=total))
        log.info("%s", data.describe())

    resuming = folder.last.exists()
    with watch.phase("network"):
        classes = [{"name": c.name, "colour": c.colour and list(c.colour)} for c in data.class_list]
        model = settings["model"] | ({"weights": None} if resuming else {})
        task = build(
            "model",
            SegmentationTask,
            model,
            classes=classes,
            image_shape=list(settings["data"]["image_shape"]),
            road_target=data.road_target,
        )
        if resuming:
            check_resumable(read_checkpoint(folder.last, "resume"), task, settings["trainer"])
            log.info("going on from %s", folder.last)
        if settings["trainer"]["compile"]:
            task.compile_step()
        if data.records("val"):
            check_monitor(settings["trainer"]["monitor"], task, data.records("val"))
            bare = sum(record.calibration is None for record in data.records("val"))
            if bare and data.road_target is not None:
                log.info("no scores in bird's-eye view: %d of the validation pictures have no calibration", bare)
        else:
            log.info("no validation part: best.ckpt will hold the last epoch's weights, trainer.monitor is not used")

    trainer, report = build_trainer(settings["trainer"], folder.path, settings["seed"], bool(data.records("val")))
    log_config(trainer, settings)
    try:
        with watch.phase("fit"):
            fit(trainer, task, data, folder.last if resuming else None)
    except (Interrupted, UserError) as stop:
        interrupted = isinstance(stop, Interrupted)
        status = {"status": "interrupted" if interrupted else "failed", "reason": str(stop)}
        with suppress(OSError):  # a full disk may be the very reason
            write_result(folder.path, status | {"epochs": report.epochs, "seconds": watch.seconds, **environment(gpu)})
        if interrupted:
            log.info("resume=%s goes on after epoch %d, the last that was saved", folder.path, epochs_done(folder.last))
        raise

    checkpoint = read_checkpoint(folder.best, "checkpoints/best.ckpt")
    best = checkpoint["segkit"]
    scores = best["scores"] or {"mean_loss": report.epochs[-1]["mean_loss"] if report.epochs else math.nan}
    log_scores(trainer, settings, scores)
    result = {
        "status": "finished",
        "scores": scores,
        "best": {"checkpoint": str(folder.best.relative_to(folder.path)), "epoch": best["epoch"]},
        "epochs": report.epochs,
        "data": data.summary(),
        "seconds": watch.seconds,
        **environment(gpu),
    }
    write_result(folder.path, result)

    with watch.phase("predict"), progress_bar() as bar:
        predictor = Predictor(checkpoint, gpu, settings["trainer"]["precision"])
        records = data.records("test") or data.records("val")
        records = records if settings["predictions"] < 0 else records[: settings["predictions"]]
        pictures = [Picture.from_files(record.image, record.calibration) for record in records]
        row = bar.add_task("painting", total=len(pictures), note="")
        paint_pictures(predictor, pictures, folder.predictions, on_done=lambda path: bar.advance(row))
    write_result(folder.path, result)  # again, with the seconds of the last phase

    monitor = settings["trainer"]["monitor"].removeprefix("val/")
    shown = dict.fromkeys([monitor, "iou", "accuracy", "loss", "mean_loss"])
    figures = "  ".join(f"{name} {scores[name]:.4f}" for name in shown if name in scores)
    log.info("best epoch %d: %s\nrun folder: %s", best["epoch"], figures, folder.path)
    return scores.get(monitor)


class Stopwatch:
    """Seconds by phase, for ``result.json``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - started, 3)


def check_resumable(checkpoint: dict[str, Any], task: Any, settings: dict[str, Any]) -> None:
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


def check_monitor(monitor: str, task: Any, records: list[Any]) -> None:
    """Hold ``trainer.monitor`` against the scores that validation on ``records`` will have.

    Raises:
        UserError: there is no such score, saying which there are.
    """
    from segkit.geometry import Calibration

    files = [record.calibration for record in records]
    calibration = None if None in files else Calibration.from_file(files[0])
    names = [f"val/{name}" for name in task.score_names(records[0].group, calibration)]
    if monitor not in names:
        bare = sum(file is None for file in files)
        scored = any("/perspective/" in name for name in names)
        hint = f"; {bare} of {len(files)} validation pictures have no calibration" if bare and scored else ""
        raise UserError(f"trainer.monitor={monitor}: no such score{hint}; there are {', '.join(names)}")


def fit(trainer: Any, task: Any, data: Any, checkpoint: Path | None) -> None:
    """Lightning's fit, with a GPU's lack of memory told as a setting that is too large."""
    import torch
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

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
