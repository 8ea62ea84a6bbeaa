"""``segkit train``: from a composed config to a run folder.

Reads from top to bottom: data checked and cached, network built, fitted, ``result.json`` written, pictures painted.
"""

import logging
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segkit.config.schema import TrainSettings
from segkit.console import log_to, progress_bar
from segkit.errors import Interrupted, Pruned, UserError
from segkit.runs.folder import CONFIG, RunFolder, environment, place, write_result
from segkit.runs.read import read_result
from segkit.runs.study import Trial

SETTINGS = TrainSettings
SWEEPS = True
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


def run(
    settings: dict[str, Any], folder: RunFolder, swept: Sequence[str] = (), trial: Trial | None = None
) -> float | None:
    """Train in ``folder``. Returns the best checkpoint's ``trainer.monitor``, for sweepers; None without validation.

    ``swept`` are the settings that the sweep tries out, ``trial`` is the trial of a study, which may end the run early.

    Raises:
        UserError: data, weights or settings that do not fit; a loss that is not finite; not enough GPU memory.
        Pruned: the study has given up on the trial.
        Interrupted: a signal came.
    """
    watch, started = Stopwatch(), time.time()
    with watch.phase("import"):
        from segkit.config.instantiate import build, import_subclass
        from segkit.data.module import SegmentationDataModule
        from segkit.distributed.devices import training_processes
        from segkit.distributed.launch import launch
        from segkit.distributed.ranks import Ranks, share_from_leader
        from segkit.metrics.cross_validation import write_counts
        from segkit.predict.predictor import Predictor
        from segkit.predict.writers import paint_pictures, writers_of
        from segkit.train.checkpoints import epochs_done, read_checkpoint
        from segkit.train.fit import fit
        from segkit.train.task import SegmentationTask
        from segkit.train.trainer import RunLogger, log_scores

    ranks = Ranks.from_environment()
    processes = training_processes(settings["trainer"], ranks)
    import_subclass(settings["model"]["_target_"], SegmentationTask, "model._target_")  # before the data takes its time
    about = {"started": started, **place(processes.indices, settings["trainer"]["num_nodes"])}

    with watch.phase("data"):
        data = build("data", SegmentationDataModule, settings["data"])
        with progress_bar() as bar:
            row = bar.add_task("checking and caching pictures", note="")
            data.prepare(lambda done, total: bar.update(row, completed=done, total=total))
        log.info("%s", data.describe())
    if folder.last.exists():
        log.info("going on from %s", folder.last)
    if not data.records("val"):
        log.info("no validation part: best.ckpt will hold the last epoch's weights, trainer.monitor is not used")
    for what, count in data.lacking(data.records("val")).items():
        log.info("%d of the validation pictures have no %s: no scores that need it", count, what)

    try:
        if ranks is not None:
            share_from_leader((settings, folder.last))  # to follow(), on the other ranks
        if ranks is None and processes.count > 1:
            fitted = launch(processes.count, fit, settings, folder.last, trial)
        else:
            fitted = fit(settings, folder.last, trial, data)
    except (Exception, Interrupted) as stop:
        status = "interrupted" if isinstance(stop, Interrupted) else "pruned" if isinstance(stop, Pruned) else "failed"
        reason = str(stop) if isinstance(stop, UserError | Interrupted) else f"{type(stop).__name__}: {stop}"
        result = read_result(folder.path)
        # Where training has not begun, a result is an earlier attempt's.
        if result.get("status") == "running" and result["started"] >= started:
            ended = {"status": status, "reason": reason, "seconds": watch.seconds, "ended": time.time()}
            with suppress(OSError):  # a full disk may be the very reason
                write_result(folder.path, result | about | environment() | ended)
                log_scores(RunLogger(folder.path), settings, last_scores(result["epochs"]), swept)
        if status == "interrupted":
            done = epochs_done(folder.last)
            after = f"after epoch {done}, the last that was saved" if done else "from the start: no epoch was saved yet"
            log.info("resume=%s goes on %s", folder.path, after)
        raise

    checkpoint = read_checkpoint(folder.best, "checkpoints/best.ckpt")
    best = checkpoint["segkit"]
    scores = best["scores"] or {"mean_loss": fitted.epochs[-1]["mean_loss"] if fitted.epochs else math.nan}
    log_scores(RunLogger(folder.path), settings, scores, swept)
    if best.get("counts"):
        write_counts(folder.counts, best["counts"])
    result = {
        "status": "finished",
        "scores": scores,
        "best": {"checkpoint": str(folder.best.relative_to(folder.path)), "epoch": best["epoch"]},
        "monitor": settings["trainer"]["monitor"],
        "max_epochs": settings["trainer"]["max_epochs"],
        "epochs": fitted.epochs,
        "data": data.summary(),
        "seconds": watch.seconds | fitted.seconds,
        "gpu_memory_gib": fitted.gpu_memory_gib,
        **environment(),
        **about,
        "ended": time.time(),
    }
    # The scores are safe now. A run that is killed while it paints goes on with that.
    write_result(folder.path, result | {"status": "running"})
    try:
        with watch.phase("predict"), progress_bar() as bar:
            gpu = processes.indices[0] if processes.indices else None
            predictor = Predictor(checkpoint, gpu, settings["trainer"]["precision"])
            records = data.records("test") or data.records("val")
            records = records if settings["predictions"] < 0 else records[: settings["predictions"]]
            pictures, writers = [record.image for record in records], writers_of(own=data.writers())
            row = bar.add_task("painting", total=len(pictures), note="")
            paint_pictures(predictor, pictures, folder.predictions, writers, lambda path: bar.advance(row))
    finally:  # what was trained is finished, whatever became of its pictures
        write_result(folder.path, result | {"seconds": watch.seconds | fitted.seconds, "ended": time.time()})

    monitor = settings["trainer"]["monitor"].removeprefix("val/")
    shown = dict.fromkeys([monitor, "iou", "accuracy", "loss", "mean_loss"])
    figures = "  ".join(f"{name} {scores[name]:.4f}" for name in shown if name in scores)
    log.info("best epoch %d: %s\nrun folder: %s", best["epoch"], figures, folder.path)
    return scores.get(monitor)


def last_scores(epochs: list[dict[str, Any]]) -> dict[str, float]:
    """The scores of a run that did not finish: those of its last epoch, or a loss that is not a number."""
    values = epochs[-1] if epochs else {}
    scores = {name.removeprefix("val/"): value for name, value in values.items() if name.startswith("val/")}
    return {name: value for name, value in scores.items() if value is not None} or {"loss": math.nan}


def follow() -> None:
    """Train with the run of rank 0, in the other processes that torchrun or srun have started.

    They read neither command line nor config files, but get from rank 0 what those have come to.

    Raises:
        Interrupted, UserError: as ``run``.
    """
    from segkit.distributed.ranks import joined, receive
    from segkit.train.fit import fit

    log_to(False, None)
    warnings.simplefilter("ignore")
    with joined():
        handed = receive()
        if handed is not None:  # else rank 0 has found a mistake, or had only to show its help
            fit(*handed)


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
