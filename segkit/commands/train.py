"""``segkit train``: from a composed config to a run folder.

Reads from top to bottom: data checked and cached, all objects built, fitted, ``result.json`` written, pictures painted.
"""

import logging
import math
import os
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.commands.runner import Typed
from segkit.config.overrides import value_of
from segkit.config.resumed import resume
from segkit.config.schema import TrainSettings
from segkit.console import log_to, progress_bar
from segkit.errors import Interrupted, Pruned, UserError, shortlist
from segkit.remote.address import is_address
from segkit.remote.local import local_settings
from segkit.remote.run_folder import fetch_run
from segkit.runs.find import find_checkpoint
from segkit.runs.folder import RunFolder, environment, place, write_result
from segkit.runs.read import read_result
from segkit.runs.stopwatch import Stopwatch
from segkit.runs.study import Trial

if TYPE_CHECKING:
    from torch import nn

    from segkit.data.module import SegmentationDataModule
    from segkit.training.fit import Fitted

SETTINGS = TrainSettings
SWEEPS = True
log = logging.getLogger(__name__)


def prepare(typed: Typed) -> Typed:
    """Let ``resume=<run folder>`` mean the config and the folder of that run; what is typed beside it wins.

    One that lies in a bucket is brought to this machine first.

    Raises:
        UserError: no run folder, one of an older version, or a word that would make it another run.
    """
    place = value_of(typed.words, "resume")
    if place is None:
        return typed
    folder = fetch_run(str(place)) if is_address(place) else Path(str(place)).expanduser()
    words = [word for word in typed.words if not word.startswith("resume=")]
    resumed = resume(folder, words, typed.config_dir)
    return Typed(resumed.words, resumed.config_dir, resumed.base, folder, resuming=True, note=resumed.note)


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
    from segkit.remote.mirror import mirrored
    from segkit.runs.sources import import_from

    # A run that goes on does so with the code of the user's that began it.
    with import_from(folder.path), mirrored(folder.path, settings["upload"]):
        return _run(settings, folder, swept, trial)


def _run(settings: dict[str, Any], folder: RunFolder, swept: Sequence[str], trial: Trial | None) -> float | None:
    watch, started = Stopwatch(), time.time()
    with watch.phase("import"):
        from segkit.config.check import nested_targets
        from segkit.config.instantiate import import_class
        from segkit.data.overlay import Painter
        from segkit.distributed.devices import training_processes
        from segkit.distributed.launch import launch
        from segkit.distributed.ranks import Ranks, share_from_leader
        from segkit.metrics.cross_validation import write_counts
        from segkit.models.trained import read_checkpoint
        from segkit.predict.predictor import Predictor
        from segkit.predict.writers import paint_pictures, writers_of
        from segkit.runs.sources import keep_sources
        from segkit.training.checkpoints import epochs_done
        from segkit.training.loggers import log_scores
        from segkit.training.room import check_room

    options = SETTINGS(**settings).trainer
    ranks = Ranks.from_environment()
    processes = training_processes(options.gpus, options.num_nodes, options.cpu_processes, ranks)
    named = {key: str(group["_target_"]) for key, group in nested_targets("", settings)}
    for key, path in named.items():  # before the data takes its time
        import_class(path, None, f"{key}._target_")
    keep_sources(folder.path, named.values())
    about = {"started": started, **place(processes.indices, options.num_nodes)}

    given = settings  # other machines make copies of their own
    with watch.phase("data"):
        settings = _local(given, folder.last)
        data = _data(settings)
        check_room(settings["model"], data, processes, options.precision == "bf16")
        with progress_bar() as bar:
            row = bar.add_task("checking and caching pictures", note="")
            data.prepare(lambda done, total: bar.update(row, completed=done, total=total))
        log.info("%s", data.describe())
    if folder.last.exists():
        log.info("going on from %s", folder.last)
    if not data.records("val"):
        kept = "average of the weights (trainer.ema)" if options.ema else "weights"
        log.info("no validation part: nothing is chosen by a score, best.ckpt will hold the last epoch's %s", kept)
    for what, count in data.lacking(data.records("val")).items():
        log.info("%d of the validation pictures have no %s: no scores that need it", count, what)

    try:
        if ranks is not None:
            share_from_leader((given, folder.last))  # to follow(), on the other ranks
        if ranks is None and processes.count > 1:
            fitted = launch(processes.count, fit_settings, settings, folder.last, trial)
        else:
            fitted = fit_settings(settings, folder.last, trial, data)
    except (Exception, Interrupted) as stop:
        status = "interrupted" if isinstance(stop, Interrupted) else "pruned" if isinstance(stop, Pruned) else "failed"
        reason = str(stop) if isinstance(stop, UserError | Interrupted) else f"{type(stop).__name__}: {stop}"
        result = read_result(folder.path)
        # Where training has not begun, a result is an earlier attempt's.
        if result.get("status") == "running" and result["started"] >= started:
            ended = {"status": status, "reason": reason, "seconds": watch.seconds, "ended": time.time()}
            with suppress(OSError):  # a full disk may be the very reason
                write_result(folder.path, "train", result | about | environment() | ended)
                log_scores(folder.path, settings, last_scores(result["epochs"]), swept)
        if status == "interrupted":
            done = epochs_done(folder.last)
            after = f"after epoch {done}, the last that was saved" if done else "from the start: no epoch was saved yet"
            log.info("resume=%s goes on %s", folder.path, after)
        raise

    checkpoint = read_checkpoint(folder.best, "checkpoints/best.ckpt")
    best = checkpoint["segkit"]
    scores = best["scores"] or {"mean_loss": fitted.epochs[-1]["mean_loss"] if fitted.epochs else math.nan}
    log_scores(folder.path, settings, scores, swept)
    if best.get("counts"):
        write_counts(folder.counts, best["counts"])
    result = {
        "status": "finished",
        "scores": scores,
        "best": {"checkpoint": str(folder.best.relative_to(folder.path)), "epoch": best["epoch"]},
        "monitor": options.monitor,
        "max_epochs": options.max_epochs,
        "epochs": fitted.epochs,
        "data": data.summary(),
        **({"left_out": data.left_out} if data.left_out else {}),
        "seconds": watch.seconds | fitted.seconds,
        "gpu_memory_gib": fitted.gpu_memory_gib,
        **environment(),
        **about,
        "ended": time.time(),
    }
    # The scores are safe now. A run that is killed while it paints goes on with that.
    write_result(folder.path, "train", result | {"status": "running"})
    records = data.records("test") or data.records("val")
    records = records if settings["predictions"] < 0 else records[: settings["predictions"]]
    try:
        with watch.phase("predict"), progress_bar() as bar:
            if records:
                gpu = processes.indices[0] if processes.indices else None
                predictor = Predictor(checkpoint, gpu, options.precision, trust=list(named.values()))
                row = bar.add_task("painting", total=len(records), note="")
                pictures, writers = [record.image for record in records], writers_of(own=data.writers())
                painter = Painter(predictor.class_list, **settings["paint"])
                how = painter, data.max_megapixels
                paint_pictures(predictor, pictures, folder.predictions, writers, lambda path: bar.advance(row), *how)
    finally:  # what was trained is finished, whatever became of its pictures
        write_result(folder.path, "train", result | {"seconds": watch.seconds | fitted.seconds, "ended": time.time()})

    monitor = options.monitor.removeprefix("val/")
    shown = dict.fromkeys([monitor, "iou", "accuracy", "loss", "mean_loss"])
    figures = "  ".join(f"{name} {scores[name]:.4f}" for name in shown if name in scores)
    log.info("best epoch %d: %s\nrun folder: %s", best["epoch"], figures, folder.path)
    return scores.get(monitor)


def fit_settings(
    settings: dict[str, Any], last: Path, trial: Trial | None = None, data: "SegmentationDataModule | None" = None
) -> "Fitted":
    """Build all objects from the whole config and fit them: what every process of a run does.

    Args:
        settings: the config, checked.
        last: ``checkpoints/last.ckpt`` of the run folder, from which training goes on where it is there.
        trial: the trial of a study that the run is.
        data: the data module, where this process has prepared it already.

    Raises:
        UserError, Pruned, Interrupted: as :func:`segkit.training.fit.fit`.
    """
    from pytorch_lightning import Callback, seed_everything
    from torch import nn
    from torchmetrics import Metric

    from segkit.config.instantiate import build
    from segkit.data.overlay import Painter
    from segkit.distributed.devices import training_processes
    from segkit.distributed.ranks import Ranks
    from segkit.losses.class_weights import give_pixel_counts
    from segkit.optim.recipe import Optimization
    from segkit.training.fit import fit
    from segkit.training.task import SegmentationTask

    options = SETTINGS(**settings).trainer
    ranks = Ranks.from_environment()
    processes = training_processes(options.gpus, options.num_nodes, options.cpu_processes, ranks)
    data = data or _data(settings)
    seed_everything(settings["seed"], verbose=False)
    # What a checkpoint holds is not asked for again.
    given = {"weights": None} if last.exists() and "weights" in settings["model"] else {}
    network = build("model", settings["model"] | given, nn.Module, num_classes=data.num_classes)
    if settings["init_from"] is not None and not last.exists():
        _start_from(settings["init_from"], network)
    loss = build("loss", settings["loss"], nn.Module)
    give_pixel_counts(loss, data.pixel_counts)
    own = [build(f"metrics[{i}]", config, Metric) for i, config in enumerate(settings["metrics"])]
    task = SegmentationTask(
        network,
        loss,
        build("optimizer", settings["optimizer"], Optimization),
        data.class_list,
        data.picture_input,
        [*data.metrics(), *own],
        settings["model"],
    )
    if options.compile:
        # Beside the pictures: the system's folder for temporary files, torch's own choice, does not outlast a reboot.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(data.cache_dir.absolute() / "compiled"))
        task.compile_step()
    callbacks = [build(f"trainer.callbacks[{i}]", one, Callback) for i, one in enumerate(options.callbacks)]
    painter = Painter(data.class_list, **settings["paint"])
    return fit(task, data, options, last, settings["seed"], processes, ranks, trial, callbacks, settings, painter)


def _local(settings: dict[str, Any], last: Path) -> dict[str, Any]:
    """The settings with what lies elsewhere copied to this machine; not what ``last.ckpt``, if there, holds anyway."""
    return local_settings(settings, ("init_from", "model.weights") if last.exists() else ())


def _data(settings: dict[str, Any]) -> "SegmentationDataModule":
    from segkit.config.instantiate import build
    from segkit.data.module import SegmentationDataModule

    data: SegmentationDataModule = build("data", settings["data"], SegmentationDataModule)
    overfit = settings["trainer"]["overfit"]
    if overfit is not None:
        data.keep_only(overfit)
    return data


def _start_from(place: str, network: "nn.Module") -> None:
    """Load what fits of another run's weights into ``network``, and say what does not."""
    from segkit.models.trained import read_checkpoint, weights_of
    from segkit.models.weights import load_matching

    path = find_checkpoint(place, "init_from")
    taken, left = load_matching(network, weights_of(read_checkpoint(path, "init_from")))
    log.info("init_from=%s: %d tensors taken%s", path, len(taken), f", not taken: {shortlist(left)}" if left else "")


def last_scores(epochs: list[dict[str, Any]]) -> dict[str, float]:
    """The scores of a run that did not finish: those of its last validation, or a loss that is not a number."""
    validated = [epoch for epoch in epochs if any(name.startswith("val/") for name in epoch)]
    values = validated[-1] if validated else {}
    scores = {name.removeprefix("val/"): value for name, value in values.items() if name.startswith("val/")}
    return {name: value for name, value in scores.items() if value is not None} or {"loss": math.nan}


def follow() -> None:
    """Train with the run of rank 0, in the other processes that torchrun or srun have started.

    They read neither command line nor config files, but get from rank 0 what those have come to.

    Raises:
        Interrupted, UserError: as ``run``.
    """
    from segkit.distributed.ranks import joined, receive
    from segkit.runs.sources import import_from

    log_to(False, None)
    warnings.simplefilter("ignore")
    with joined():
        handed = receive()
        if handed is not None:  # else rank 0 has found a mistake, or had only to show its help
            with import_from(handed[1].parents[1]):
                fit_settings(_local(*handed), handed[1])
