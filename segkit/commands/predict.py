"""``segkit predict``: pictures in, painted pictures, metres of free road and KITTI's submission out."""

import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segkit.config.overrides import as_list
from segkit.config.schema import PredictSettings
from segkit.console import progress_bar
from segkit.predict.inputs import find_pictures
from segkit.remote.local import local_place, local_settings
from segkit.road.layout import find_calibrations
from segkit.runs.folder import RunFolder, environment, gpu_name, write_result
from segkit.runs.read import find_checkpoints, find_runs, home_of

SETTINGS = PredictSettings
log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Write every picture of ``input`` into ``folder`` in each ``format``. Exits with 1 when one could not be read.

    Raises:
        UserError: no picture, no checkpoint, several networks of different classes, no such GPU, a wrong calibration,
            pictures that make no submission, files in the way.
    """
    settings = local_settings(settings)
    formats = settings["format"] if isinstance(settings["format"], list) else [settings["format"]]
    paths = find_pictures(settings["input"])
    checkpoints = find_checkpoints(as_list(settings["checkpoint"]), "checkpoint")
    files = find_calibrations(paths, settings["calibration"])

    from segkit.data.datasets.cityscapes_server import LabelIds
    from segkit.distributed.devices import one_gpu, prediction_precision
    from segkit.predict.ensemble import Ensemble
    from segkit.predict.loading import load_predictor
    from segkit.predict.outputs import claim
    from segkit.predict.writers import paint_pictures, writers_of
    from segkit.road.calibration import Calibration
    from segkit.road.submission import Submission
    from segkit.road.writers import Metres, road_writers

    calibrations = {
        path: None if file is None else Calibration.from_file(file) for path, file in zip(paths, files, strict=True)
    }
    gpu = one_gpu(settings["gpus"], "gpus")
    precision = prediction_precision(settings["precision"], gpu)
    predictor = Ensemble(
        {
            str(path): load_predictor(
                path,
                "checkpoint",
                gpu,
                precision,
                trust=as_list(settings["trust"]),
                run=home_of(path),
                average=settings["average"],
            )
            for path in checkpoints
        }
    )
    writers = writers_of(formats, road_writers(formats, predictor.class_list, calibrations))
    if "submission" in formats:
        writers.append(Submission(_data_root(settings), predictor.class_list, calibrations))
    if LabelIds.name in formats:
        writers.append(LabelIds(predictor.class_list, paths))
    claim(folder.path, writers, paths, [str(path) for path in checkpoints])
    with progress_bar() as bar:
        row = bar.add_task("painting", total=len(paths), note="")
        painted = paint_pictures(predictor, paths, folder.path, writers, lambda path: bar.advance(row))
    for reason in painted.unreadable.values():
        log.error("skipped: %s", reason)
    written = len(paths) - len(painted.unreadable)
    metres = [writer for writer in writers if isinstance(writer, Metres)]
    write_result(
        folder.path,
        {
            "checkpoint": [str(path) for path in checkpoints],
            "average": settings["average"],
            "pictures": written,
            "unreadable": painted.unreadable,
            "format": formats,
            "written": dict(painted.written),
            "without_calibration": metres[0].without_calibration if metres else [],
            "seconds": {name: round(value, 3) for name, value in asdict(painted.seconds).items()},
            "slowest": painted.seconds.slowest,
            "precision": predictor.precision,
            **environment(),
            "gpu": gpu_name([] if gpu is None else [gpu]),
        },
    )
    log.info("%d pictures painted in %s", written, folder.path)
    if written:
        log.info("%s", painted.seconds)
    if painted.unreadable:
        sys.exit(1)


def _data_root(settings: dict[str, Any]) -> Path:
    """``data.root`` where it is given, else that of the (first) checkpoint's own run, else KITTI road's usual one."""
    first = as_list(settings["checkpoint"])[0]
    given = settings["data"]["root"] or find_runs(first)[0].settings().get("data", {}).get("root")
    return Path(local_place("data.root", given or "data/data_road")).expanduser()
