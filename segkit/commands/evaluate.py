"""``segkit evaluate``: the benchmark's scores of a network or of anyone's confidence maps.

Reads from top to bottom: what is scored and on which pictures, the counting, ``result.json``, tables, figures.
"""

import logging
import time
from collections import Counter
from pathlib import Path
from typing import Any

from segkit.console import progress_bar
from segkit.engine.run_folder import RunFolder, environment, write_result
from segkit.errors import UserError
from segkit.evaluation.runs import TrainedRun, find_runs, with_data_of_run
from segkit.settings import EvaluateSettings

SETTINGS = EvaluateSettings
prepare_arguments = with_data_of_run
log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Score and write ``result.json`` and figures into ``folder``.

    Raises:
        UserError: nothing or two things to score, a part without pictures, maps or calibrations that are missing or
            wrong, a network of other classes.
    """
    if (settings["checkpoint"] is None) == (settings["predictions"] is None):
        raise UserError("give checkpoint=<run folder or .ckpt> or predictions=<folder of maps>, one of the two")
    if settings["data"].get("unscored") == "road":
        raise UserError("data.unscored=road: the benchmark leaves black label areas out; use data.unscored=ignore")
    if settings["predictions"] is not None and settings["corruption"] is not None:
        raise UserError("corruption: saved maps cannot be corrupted any more; it goes with checkpoint=")
    runs = find_runs(settings["checkpoint"]) if settings["checkpoint"] is not None else []

    started = time.perf_counter()
    from segkit.evaluation.error_figures import write_figures
    from segkit.evaluation.result import describe, tables

    seconds = {"import": round(time.perf_counter() - started, 3)}
    started = time.perf_counter()
    score = _score_networks if runs else _score_maps
    data, records, scored, source = score(settings, runs)
    seconds["score"] = round(time.perf_counter() - started, 3)
    result = describe(scored, data.class_list)
    log.info("%s", tables(result))
    started = time.perf_counter()
    write_figures(folder.path, scored, records)
    seconds["figures"] = round(time.perf_counter() - started, 3)
    about = {"part": settings["part"], "pictures": dict(Counter(record.group for record in records))}
    gpu = source.pop("gpu")
    write_result(folder.path, {**result, **source, **about, "seconds": seconds, **environment(gpu)})
    log.info("%d pictures scored; result.json and figures/: %s", len(records), folder.path)


Scores = tuple[Any, list[Any], dict[str, Any], dict[str, Any]]
"""Data module, records, what was scored by condition, and where it came from (for ``result.json``)."""


def _score_maps(settings: dict[str, Any], _: Any) -> Scores:
    from segkit.evaluation.saved_maps import SavedMaps
    from segkit.evaluation.scoring import check_calibrations, score_maps, views_of

    data = _data_module(settings)
    records = _records(data, settings["part"])
    if data.road_target is None:
        raise UserError("predictions: confidence maps are scored on KITTI road alone; use data=kitti_road")
    check_calibrations(records, settings["view"])
    views = views_of(settings["view"])
    maps = SavedMaps(Path(settings["predictions"]).expanduser(), data.road_target)
    maps.check(records, views)
    with progress_bar() as bar:
        row = bar.add_task("scoring", total=len(records), note="")
        scored = score_maps(maps.read, data, records, views, lambda: bar.advance(row))
    return data, records, {"clean": scored}, {"predictions": settings["predictions"], "gpu": None}


def _score_networks(settings: dict[str, Any], runs: list[TrainedRun]) -> Scores:
    from segkit.engine.devices import one_gpu
    from segkit.evaluation.corruptions import Corruption
    from segkit.evaluation.folds import held_out_parts
    from segkit.evaluation.network import Corrupt, score_networks
    from segkit.evaluation.scoring import check_calibrations, views_of

    gpu = one_gpu(settings["gpus"], "gpus")
    if len(runs) == 1:
        module = _data_module(settings)
        parts = [(module, _records(module, settings["part"]))]
    elif settings["part"] == "val":
        parts = held_out_parts(runs, settings["data"])
    else:
        raise UserError(f"part={settings['part']}: folds are joined over their held-out pictures; use part=val")
    data = parts[0][0]
    records = [record for _, held in parts for record in held]
    if data.road_target is not None:
        check_calibrations(records, settings["view"])
    elif settings["view"] == "bev":
        raise UserError("view=bev: this data set has no calibrations; the road score is KITTI road's")
    conditions: dict[str, Corrupt | None] = {"clean": None}
    if settings["corruption"] is not None:
        kind, severity = settings["corruption"], settings["severity"]
        conditions[f"{kind} {severity}"] = Corruption(kind, severity, settings["seed"])
    with progress_bar() as bar:
        row = bar.add_task("scoring", total=len(records), note="")
        scored, notes = score_networks(
            [(trained.checkpoint, *part) for trained, part in zip(runs, parts, strict=True)],
            conditions,
            views_of(settings["view"]),
            tuple(settings["data"]["image_shape"]),
            gpu,
            lambda: bar.advance(row),
        )
    for note in notes:
        log.warning("%s", note)
    checkpoints = [str(trained.checkpoint) for trained in runs]
    source = {"checkpoint": checkpoints if len(runs) > 1 else checkpoints[0], "training": runs[0].command()}
    return data, records, scored, source | {"gpu": gpu}


def _data_module(settings: dict[str, Any]) -> Any:
    from segkit.build import build
    from segkit.data.module import SegmentationDataModule

    config = settings["data"]
    if settings["part"] == "all" and "split" in config:
        config = config | {"split": "none"}
    return build("data", SegmentationDataModule, config)


def _records(data: Any, part: str) -> list[Any]:
    records = data.records("train") + data.records("val") if part == "all" else data.records(part)
    if not records:
        raise UserError(f"part={part}: there are no such pictures with these data settings; part=all scores every one")
    return records
