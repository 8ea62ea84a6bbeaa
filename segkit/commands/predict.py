"""``segkit predict``: pictures or a video in, painted ones, metres of free road and KITTI's submission out."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.commands.frames import are_frames, formats_of, open_frames, paint
from segkit.config.overrides import as_list
from segkit.config.trained_schema import PredictSettings
from segkit.console import progress_bar
from segkit.predict.inputs import find_pictures
from segkit.remote.local import local_place, local_settings
from segkit.road.layout import find_calibrations
from segkit.runs.find import find_checkpoints, find_runs
from segkit.runs.folder import RunFolder, environment, gpu_name, write_result

if TYPE_CHECKING:
    from segkit.data.overlay import Painter
    from segkit.predict.predictor import Segmenter
    from segkit.predict.writers import Painted
    from segkit.road.writers import Calibrations

SETTINGS = PredictSettings
SAID = 20
"""Lines about pictures and frames that could not be read: a video may have thousands."""

log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Write every picture or frame of ``input`` into ``folder`` in each ``format``.

    Exits with 1 when one could not be read, and with 130 after Ctrl-C among frames: what is written by then is whole.

    Raises:
        UserError: no picture, no video, no checkpoint, several networks of different classes, no such GPU, a wrong
            calibration, pictures that make no submission, files in the way.
    """
    settings = local_settings(settings)
    formats = formats_of(settings)
    moving = open_frames(settings) if are_frames(settings, formats) else None
    paths = find_pictures(settings["input"]) if moving is None else moving.files
    checkpoints = find_checkpoints(as_list(settings["checkpoint"]), "checkpoint")
    files = find_calibrations(paths, settings["calibration"])

    from segkit.data.overlay import Painter
    from segkit.distributed.devices import one_gpu, prediction_precision
    from segkit.predict.loading import load_ensemble
    from segkit.road.raw_calibration import read_calibrations

    calibrations = read_calibrations(paths, files)
    gpu = one_gpu(settings["gpus"], "gpus")
    precision = prediction_precision(settings["precision"], gpu)
    predictor = load_ensemble(
        checkpoints, gpu, precision, trust=as_list(settings["trust"]), average=settings["average"]
    )
    painter = Painter(predictor.class_list, **settings["paint"])
    names = [str(path) for path in checkpoints]
    if moving is None:
        painted, about = _pictures(settings, formats, paths, calibrations, predictor, painter, names, folder.path)
    else:
        painted, about = paint(settings, formats, moving, calibrations, predictor, painter, names, folder.path)
    reasons = list(painted.unreadable.values())
    for reason in reasons[:SAID]:
        log.error("skipped: %s", reason)
    if len(reasons) > SAID:
        log.error("skipped: %d more, which result.json names", len(reasons) - SAID)
    write_result(
        folder.path,
        "predict",
        {
            "checkpoint": names,
            "average": settings["average"],
            **about,
            "unreadable": painted.unreadable,
            "format": formats,
            "written": dict(painted.written),
            "seconds": {name: round(value, 3) for name, value in asdict(painted.seconds).items()},
            "slowest": painted.seconds.slowest,
            "precision": predictor.precision,
            **environment(),
            "gpu": gpu_name([] if gpu is None else [gpu]),
        },
    )
    what = "pictures" if moving is None else "frames"
    single = folder.path / formats[0] / f"{paths[0].stem}.png" if len(paths) == 1 else None
    if single is not None and single.is_file():
        log.info("%s painted: %s", paths[0], single)
    else:
        log.info("%d %s painted in %s", about[what], what, folder.path)
    if about[what]:
        log.info("%s", painted.seconds)
    if about.get("interrupted"):
        sys.exit(130)
    if painted.unreadable:
        sys.exit(1)


def _pictures(
    settings: dict[str, Any],
    formats: Sequence[str],
    paths: Sequence[Path],
    calibrations: "Calibrations",
    predictor: "Segmenter",
    painter: "Painter",
    checkpoints: Sequence[str],
    folder: Path,
) -> "tuple[Painted, dict[str, Any]]":
    """Paint pictures into ``folder``; what came of them, and what ``result.json`` says of them alone."""
    from segkit.data.datasets.cityscapes_server import LabelIds
    from segkit.data.overlay import mean_areas
    from segkit.predict.outputs import claim
    from segkit.predict.writers import paint_pictures, writers_of
    from segkit.road.submission import Submission
    from segkit.road.writers import Metres, road_writers

    writers = writers_of(formats, road_writers(formats, predictor.class_list, calibrations))
    if "submission" in formats:
        writers.append(Submission(_data_root(settings), predictor.class_list, calibrations))
    if LabelIds.name in formats:
        writers.append(LabelIds(predictor.class_list, paths))
    claim(folder, writers, paths, checkpoints)
    with progress_bar() as bar:
        row = bar.add_task("painting", total=len(paths), note="")
        most = settings["data"]["max_megapixels"]
        painted = paint_pictures(predictor, paths, folder, writers, lambda path: bar.advance(row), painter, most)
    metres = [writer for writer in writers if isinstance(writer, Metres)]
    return painted, {
        "pictures": len(paths) - len(painted.unreadable),
        "areas": {
            "mean": painter.shares(mean_areas(painted.areas.values())),
            "pictures": {name: painter.shares(areas) for name, areas in painted.areas.items()},
        },
        "without_calibration": metres[0].without_calibration if metres else [],
    }


def _data_root(settings: dict[str, Any]) -> Path:
    """``data.root`` where it is given, else that of the (first) checkpoint's own run, else KITTI road's usual one."""
    first = as_list(settings["checkpoint"])[0]
    given = settings["data"]["root"] or find_runs(first)[0].settings().get("data", {}).get("root")
    return Path(local_place("data.root", given or "data/data_road")).expanduser()
