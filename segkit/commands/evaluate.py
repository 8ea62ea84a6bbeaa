"""``segkit evaluate``: the benchmark's scores of a network or of anyone's confidence maps.

Reads from top to bottom: what is scored and on which pictures, the counting, ``result.json``, tables, figures.
"""

import logging
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.commands.runner import Typed
from segkit.config.overrides import as_list, override, value_of
from segkit.config.trained_schema import EvaluateSettings
from segkit.console import progress_bar
from segkit.errors import UserError
from segkit.predict.inputs import find_folder
from segkit.remote.local import local_place, local_settings
from segkit.runs.files import write_whole
from segkit.runs.find import (
    BUNDLED,
    BUNDLED_FOLDER,
    PACKAGED,
    PACKAGED_ENTRY,
    TrainedRun,
    find_checkpoints,
    find_runs,
    home_of,
    is_exported,
    is_sweep,
)
from segkit.runs.folder import RunFolder, environment, gpu_name, write_result
from segkit.runs.plain import read_json
from segkit.runs.read import choices_of, own_folders, read_hydra

if TYPE_CHECKING:
    from segkit.data.module import SegmentationDataModule
    from segkit.data.records import Record
    from segkit.metrics.benchmark import Benchmark, Scored

SETTINGS = EvaluateSettings
log = logging.getLogger(__name__)

# Settings of a run's data that say how it was trained or where it ran, not what it is scored on. Black label areas are
# left out of the benchmark's score whatever the run made of them.
NOT_INHERITED = {"_target_", "url", "augment", "batch_size", "workers", "cache_dir", "seed", "unscored", "train_on"}

SIZE = {"image_shape", "resize", "window", "overlap"}
"""How pictures come to the network, whatever pictures they are."""


def prepare(typed: Typed) -> Typed:
    """Put the data settings of the (first) run that ``checkpoint=`` means below those that were typed.

    So a network is scored on the part that its own run held out, at the size that it was trained at. Of a package that
    size alone is known. Without ``checkpoint=`` and ``predictions=`` it is the network that comes with segkit.
    """
    places = value_of(typed.words, "checkpoint")
    if places is None and value_of(typed.words, "predictions") is None:
        places = BUNDLED
        typed = replace(typed, words=[*typed.words, override("checkpoint", places)])
    first = places[0] if isinstance(places, list) and places else places
    try:
        run = find_runs(local_place("checkpoint", first))[0] if isinstance(first, str) else None
    except UserError:
        return typed  # the command itself says what is wrong
    if run is None:
        return typed
    if run.folder is None:
        shown = _shown(run.checkpoint)
        return replace(typed, base={"defaults": ["evaluate", "_self_"], "data": shown}) if shown else typed
    settings, added = run.settings()["data"], [word.lstrip("+").partition("=")[0] for word in run.command()]
    hydra = read_hydra(run.folder)
    chosen, asked = str(choices_of(hydra).get("data", "kitti_road")), value_of(typed.words, "data")
    inherited = _going_with_shape({key: value for key, value in settings.items() if key not in NOT_INHERITED})
    if (value_of(typed.words, "data.split") or inherited.get("split")) == "official":
        inherited.pop("held_out", None)  # it goes with another split
    if "data._target_" in added:  # no matter of the chosen file then
        inherited["_target_"] = settings["_target_"]
    if asked is not None and asked != chosen:
        inherited = {key: value for key, value in inherited.items() if key in SIZE}
    own = own_folders(hydra)
    base = {"defaults": ["evaluate", {"override /data": chosen}, "_self_"], "data": inherited}
    config_dir = typed.config_dir or next((folder for folder in own if folder.is_dir()), None)
    return Typed(typed.words, config_dir, base, run.folder)


def _going_with_shape(settings: dict[str, Any]) -> dict[str, Any]:
    """Without a ``resize`` that goes with ``image_shape``, also where another one of these is given."""
    alike = settings.get("resize") == settings["image_shape"]
    return {key: value for key, value in settings.items() if key != "resize" or not alike}


def _shown(checkpoint: Path) -> dict[str, Any]:
    """The settings ``SIZE`` of a package's network; empty of another checkpoint, which says them to torch alone."""
    try:
        told = read_json(checkpoint.with_name(PACKAGED_ENTRY))["input"] if checkpoint.name == PACKAGED else {}
        return _going_with_shape({key: told[key] for key in SIZE}) if told else {}
    except (OSError, UserError, KeyError, TypeError):
        return {}  # reading the checkpoint says what is wrong


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Score and write ``result.json`` and figures into ``folder``.

    Raises:
        UserError: nothing or two things to score, a part without pictures, maps or calibrations that are missing or
            wrong, a network of other classes than the data's or another network's.
    """
    if (settings["checkpoint"] is None) == (settings["predictions"] is None):
        raise UserError(
            "give checkpoint=<run folder, .ckpt or exported file> or predictions=<folder of maps>, one of the two; "
            "without both, the network that comes with segkit is scored"
        )
    if settings["data"].get("unscored") == "road":
        raise UserError("data.unscored=road: the benchmark leaves black label areas out; use data.unscored=ignore")
    if settings["predictions"] is not None and settings["corruption"] is not None:
        raise UserError("corruption: saved maps cannot be corrupted any more; it goes with checkpoint=")
    if settings["predictions"] is not None and settings["compare"] is not None:
        raise UserError("compare: saved maps are of one class; it goes with checkpoint=")
    if settings["predictions"] is not None and settings["average"]:
        raise UserError("average: saved maps are scored as they are; it goes with checkpoint=")
    settings = local_settings(settings)
    if settings["checkpoint"] is None:
        runs, maps = [], find_folder(settings["predictions"], "predictions", "the maps")
    else:
        runs, maps = _networks(as_list(settings["checkpoint"])), Path()

    started = time.perf_counter()
    from segkit.evaluation.result import describe, pictures_csv, tables

    seconds = {"import": round(time.perf_counter() - started, 3)}
    started = time.perf_counter()
    outcome = _score_networks(settings, runs) if runs else _score_maps(settings, maps)
    seconds["score"] = round(time.perf_counter() - started, 3)
    scores = describe(outcome.scored)
    pictures = dict(Counter(record.group for record in outcome.records))
    gpu = gpu_name([] if outcome.gpu is None else [outcome.gpu])
    about = {"part": settings["part"], "pictures": pictures, "seconds": seconds, **environment(), "gpu": gpu}
    result = {**scores, **outcome.source, **about}
    write_result(folder.path, "evaluate", result)
    if pictures_text := pictures_csv(outcome.scored):
        write_whole(folder.path / "pictures.csv", pictures_text.encode())
    log.info("%s", tables(result, outcome.benchmark))
    started = time.perf_counter()
    if outcome.benchmark is not None:
        outcome.benchmark.write_figures(folder.path, outcome.scored, outcome.records)
    else:
        from segkit.data.overlay import Painter
        from segkit.evaluation.figure_files import write_figures

        scored = outcome.scored["clean"].classes
        assert scored is not None
        write_figures(folder.path, outcome.scored, Painter(scored.class_list, **settings["paint"]))
    seconds["figures"] = round(time.perf_counter() - started, 3)
    write_result(folder.path, "evaluate", result)  # again, with the seconds of the figures
    log.info("%d pictures scored; result.json and figures, where there are any: %s", len(outcome.records), folder.path)


@dataclass(frozen=True)
class _Outcome:
    """What was scored by condition, on which records, and where it came from (for ``result.json``)."""

    data: "SegmentationDataModule"
    records: "list[Record]"
    scored: "dict[str, Scored]"
    source: dict[str, Any]
    benchmark: "Benchmark | None"
    gpu: int | None = None


def _score_maps(settings: dict[str, Any], folder: Path) -> _Outcome:
    data = _data_module(settings)
    records = _records(data, settings["part"])
    benchmark = data.evaluation(settings["view"])
    if benchmark is None:
        raise UserError("predictions: confidence maps are scored on KITTI road alone; use data=kitti_road")
    benchmark.check(records)
    with progress_bar() as bar:
        row = bar.add_task("scoring", total=len(records), note="")
        scored = benchmark.score_maps(folder, records, lambda: bar.advance(row))
    return _Outcome(data, records, {"clean": scored}, {"predictions": settings["predictions"]}, benchmark)


def _networks(places: list[str]) -> list[TrainedRun]:
    """The networks meant by one place, which may be the folder of a sweep, or by several, which may not."""
    if len(places) == 1:
        return find_runs(places[0])
    find_checkpoints(places, "checkpoint")
    return [trained for place in places for trained in find_runs(place)]


def _score_networks(settings: dict[str, Any], runs: list[TrainedRun]) -> _Outcome:
    from segkit.distributed.devices import one_gpu
    from segkit.evaluation.corruptions import Corruption
    from segkit.evaluation.folds import held_out_parts
    from segkit.evaluation.network import Corrupt, Part, score_networks
    from segkit.evaluation.seen import seen_in_training

    gpu = one_gpu(settings["gpus"], "gpus")
    networks = [[trained] for trained in runs]
    if not is_sweep(as_list(settings["checkpoint"])[0]):
        networks = [runs]
        module = _data_module(settings)
        held = [(module, _records(module, settings["part"]))]
    elif settings["part"] != "val":
        raise UserError(f"part={settings['part']}: folds are joined over their held-out pictures; use part=val")
    elif any(settings["data"].get(key) != runs[0].settings()["data"].get(key) for key in ("split", "fold")):
        raise UserError(
            "data: each run of a sweep has its own held-out part; leave split and fold out, or give one run"
        )
    else:
        held = held_out_parts(runs, settings["data"])
    for trained in runs:
        if trained.folder is None and settings["part"] != "all" and home_of(trained.checkpoint) != BUNDLED_FOLDER:
            log.warning(
                "checkpoint: %s lies in no run folder, so nobody knows which pictures it was trained on; scored are "
                "those that the settings of data put into part=%s",
                trained.checkpoint,
                settings["part"],
            )
        if trained.folder is not None and not trained.finished():
            log.warning("checkpoint: %s has not finished; scored is what it came to so far", trained.folder)
    data = held[0][0]
    records = [record for _, part in held for record in part]
    if len(networks) == 1 and settings["part"] != "train":
        for warning in seen_in_training(runs, settings["data"], records, as_list(settings["trust"])):
            log.warning("checkpoint: %s", warning)
    # The benchmark's score is that of class 1, which is another one among compared classes.
    benchmark = data.evaluation(settings["view"]) if settings["compare"] is None else None
    if benchmark is not None:
        benchmark.check(records)
    elif settings["view"] == "bev":
        raise UserError("view=bev: this data set has no calibrations; the road score is KITTI road's")
    conditions: dict[str, Corrupt | None] = {"clean": None}
    if settings["corruption"] is not None:
        kind, severity = settings["corruption"], settings["severity"]
        conditions[f"{kind} {severity}"] = Corruption(kind, severity, settings["seed"])
    parts = [
        Part(
            averaged,
            averaged[0].settings().get("trainer", {}).get("precision", "auto"),
            *part,
            as_list(settings["trust"]),
            settings["average"],
        )
        for averaged, part in zip(networks, held, strict=True)
    ]
    with progress_bar() as bar:
        row = bar.add_task("scoring", total=len(records), note="")
        scored, notes, comparison = score_networks(
            parts, conditions, benchmark, gpu, lambda: bar.advance(row), settings["compare"]
        )
    for note in notes:
        log.warning("%s", note)
    source = {
        "checkpoint": [str(trained.checkpoint) for trained in runs],
        "training": [trained.command() for trained in runs],
        "average": settings["average"],
        "networks": len(networks[0]),
        "precision": "as exported" if is_exported(runs[0].checkpoint) else parts[0].precision,
    }
    if comparison is not None:
        source["compared"] = comparison.members
    left_out = {**data.left_out, **({} if comparison is None else comparison.left_out)}
    if left_out:
        source["left_out"] = left_out
    return _Outcome(data, records, scored, source, benchmark, gpu)


def _data_module(settings: dict[str, Any]) -> "SegmentationDataModule":
    from segkit.config.instantiate import build
    from segkit.data.module import SegmentationDataModule

    module: SegmentationDataModule = build("data", settings["data"], SegmentationDataModule)
    return module


def _records(data: "SegmentationDataModule", part: str) -> "list[Record]":
    found = data.labelled() if part == "all" else data.records(part)
    if not found:
        raise UserError(f"part={part}: there are no such pictures with these data settings; part=all scores every one")
    records = [record for record in found if record.label is not None]
    if not records:
        raise UserError(f"part={part}: none of its {len(found)} pictures has a label, so nothing can be scored")
    if bare := len(found) - len(records):
        log.warning("part=%s: %d of %d pictures have no label, and are left out", part, bare, len(found))
    return records
