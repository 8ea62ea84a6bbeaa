"""``segkit train``: from a composed config to a run folder.

Reads from top to bottom: data checked and cached, network built, fitted, its best checkpoint scored, pictures painted,
``result.json`` written.
"""

import logging
import math
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

    from segkit.engine.run_folder import RunFolder

    folder = Path(folders[-1])
    saved = folder / ".hydra" / "overrides.yaml"
    if not saved.is_file():
        raise UserError(f"resume={folder}: no run folder of segkit train ({saved} does not exist)")
    RunFolder(folder).close()  # refuses a folder that is being written, before Hydra writes into it
    overrides = [str(word) for word in OmegaConf.load(saved)]
    given = [word for word in arguments if not word.startswith("resume=")]
    return [*overrides, *given, f"hydra.run.dir='{folder}'"]


class Stopwatch:
    """Seconds by phase, for ``result.json``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str):  # type: ignore[no-untyped-def]
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - started, 3)


def fit(trainer: Any, task: Any, data: Any, checkpoint: Path | None) -> None:
    """Lightning's fit, with a GPU's lack of memory told as a setting that is too large."""
    import torch

    try:
        trainer.fit(task, data, ckpt_path=checkpoint, weights_only=True)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"out of GPU memory: {str(error).splitlines()[0]}\n"
            f"Lower data.batch_size (now {data.batch_size}) or data.image_shape, or set trainer.precision=bf16"
        ) from error


def run(settings: dict[str, Any], path: Path) -> float | None:
    """Train in the run folder ``path``. Returns the best ``val/iou``, for sweepers; None without validation.

    Raises:
        UserError: data, weights or settings that do not fit; a loss that is not finite.
    """
    from segkit.engine.run_folder import RunFolder

    folder = RunFolder(path)
    try:
        return _run(settings, folder)
    finally:
        folder.close()


def _run(settings: dict[str, Any], folder: Any) -> float | None:
    watch = Stopwatch()
    with watch.phase("import"):
        from pytorch_lightning import seed_everything

        from segkit.build import build
        from segkit.console import progress_bar
        from segkit.engine.checkpoints import read_checkpoint
        from segkit.engine.devices import gpu_indices
        from segkit.engine.interruption import Interrupted
        from segkit.engine.predictor import Predictor
        from segkit.engine.run_folder import environment, write_result
        from segkit.engine.trainer import build_trainer, log_settings, set_matmul_precision
        from segkit.painting import paint_pictures

    gpus = gpu_indices(settings["trainer"]["gpus"])
    if len(gpus) > 1:
        raise UserError(f"trainer.gpus={settings['trainer']['gpus']}: a run takes one GPU; give trainer.gpus=1 or [i]")
    set_matmul_precision()
    seed_everything(settings["seed"], verbose=False)

    with watch.phase("data"):
        data = build("data", settings["data"])
        with progress_bar() as bar:
            row = bar.add_task("checking and caching pictures", note="")
            data.prepare(lambda done, total: bar.update(row, completed=done, total=total))
        log.info("%s", data.describe())

    resuming = folder.last.exists()
    with watch.phase("network"):
        classes = [{"name": c.name, "colour": c.colour and list(c.colour)} for c in data.class_list]
        model = settings["model"] | ({"weights": None} if resuming else {})
        task = build("model", model, classes=classes, image_shape=list(settings["data"]["image_shape"]))
        if settings["trainer"]["compile"]:
            task.compile_step()

    with watch.phase("fit"):
        trainer, report = build_trainer(
            settings["trainer"], folder.path, settings["seed"], validated=bool(data.records("val"))
        )
        if resuming:
            log.info("going on from %s", folder.last)
        try:
            fit(trainer, task, data, folder.last if resuming else None)
        except (Interrupted, UserError) as stop:
            status = {"status": "interrupted" if isinstance(stop, Interrupted) else "failed", "reason": str(stop)}
            write_result(folder.path, status | {"epochs": report.epochs, **environment()})
            raise

    best = read_checkpoint(folder.best, "checkpoint")["segkit"]
    scores = best["scores"] or {"mean_loss": report.epochs[-1]["mean_loss"] if report.epochs else math.nan}
    log_settings(trainer, settings, {f"best/{name}": value for name, value in scores.items()})

    with watch.phase("predict"):
        predictor = Predictor(read_checkpoint(folder.best, "checkpoint"), gpus[0] if gpus else None)
        pictures = [record.image for record in data.records("test") or data.records("val")]
        count = settings["predictions"]
        paint_pictures(predictor, pictures if count < 0 else pictures[:count], folder.predictions)

    result = {
        "status": "finished",
        "scores": scores,
        "best": {"checkpoint": str(folder.best.relative_to(folder.path)), "epoch": best["epoch"]},
        "epochs": report.epochs,
        "data": data.summary(),
        "seconds": watch.seconds,
        **environment(),
    }
    write_result(folder.path, result)
    figures = "  ".join(
        f"{name} {scores[name]:.4f}" for name in ("iou", "accuracy", "loss", "mean_loss") if name in scores
    )
    log.info("best epoch %d: %s\nrun folder: %s", best["epoch"], figures, folder.path)
    return scores.get("iou")
