"""``segkit predict``: pictures in, painted pictures, metres of free road and KITTI's submission out."""

import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segkit.config.schema import PredictSettings
from segkit.console import progress_bar
from segkit.errors import UserError
from segkit.predict.inputs import find_calibrations, find_pictures
from segkit.runs.folder import RunFolder, environment, gpu_name, write_result
from segkit.runs.read import find_checkpoint

SETTINGS = PredictSettings
SUBMISSION = "submission.zip"
log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Write every picture of ``input`` into ``folder`` in each ``format``. Exits with 1 when one could not be read.

    Raises:
        UserError: no picture, no checkpoint, no such GPU, a wrong calibration, pictures that make no submission.
    """
    formats = settings["format"] if isinstance(settings["format"], list) else [settings["format"]]
    paths = find_pictures(settings["input"])
    if any(path.resolve().parent.parent == folder.path.resolve() for path in paths):
        raise UserError(
            f"output={folder.path}: the pictures of input= lie in it and could be overwritten; give another"
        )
    checkpoint = find_checkpoint(settings["checkpoint"], "checkpoint")
    files = find_calibrations(paths, settings["calibration"])

    from segkit.distributed.devices import one_gpu
    from segkit.predict.predictor import Predictor
    from segkit.predict.writers import Picture, paint_pictures
    from segkit.speed.inference import prediction_precision
    from segkit.train.checkpoints import read_checkpoint

    pictures = [Picture.from_files(path, file) for path, file in zip(paths, files, strict=True)]
    gpu = one_gpu(settings["gpus"], "gpus")
    precision = prediction_precision(settings["precision"], gpu)
    predictor = Predictor(read_checkpoint(checkpoint, "checkpoint"), gpu, precision)
    submission = None
    if "submission" in formats:
        submission = _submission(Path(settings["data"]["root"]).expanduser(), predictor.class_list, pictures)
    kinds = [kind for kind in formats if kind != "submission"]
    with progress_bar() as bar:
        row = bar.add_task("painting", total=len(pictures), note="")
        painted = paint_pictures(predictor, pictures, folder.path, kinds, submission, lambda path: bar.advance(row))
    for reason in painted.unreadable.values():
        log.error("skipped: %s", reason)
    written = len(pictures) - len(painted.unreadable)
    if "road" not in painted.written:  # of a run before this one in the same folder
        (folder.path / "road.json").unlink(missing_ok=True)
    if submission is None or painted.unreadable:
        (folder.path / SUBMISSION).unlink(missing_ok=True)
    else:
        submission.write(folder.path / SUBMISSION)
        painted.written["submission"] = written
    write_result(
        folder.path,
        {
            "checkpoint": str(checkpoint),
            "pictures": written,
            "unreadable": painted.unreadable,
            "format": formats,
            "written": dict(painted.written),
            "without_calibration": painted.without_calibration,
            "seconds": {name: round(value, 3) for name, value in asdict(painted.seconds).items()},
            "slowest": painted.seconds.slowest,
            "precision": precision,
            **environment(),
            "gpu": gpu_name([] if gpu is None else [gpu]),
        },
    )
    log.info("%d pictures painted in %s", written, folder.path)
    if written:
        log.info("%s", painted.seconds)
    if painted.unreadable:
        if submission is not None:
            log.error("%s was not written: it has to hold every test picture", SUBMISSION)
        sys.exit(1)


def _submission(root: Path, class_list: Any, pictures: Any) -> Any:
    from segkit.predict.writers import road_class
    from segkit.road.submission import Submission

    road = road_class(class_list)
    if road is None:
        names = ", ".join(item.name for item in class_list)
        raise UserError(f"format=submission: none of this network's classes is named road or lane ({names})")
    calibrations = {picture.path: picture.calibration for picture in pictures}
    return Submission(root, "lane" if class_list[road].name == "lane" else "road", calibrations)
