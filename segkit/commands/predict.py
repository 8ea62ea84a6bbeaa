"""``segkit predict``: pictures in, painted pictures out."""

import logging
import sys
from typing import Any

from segkit.console import progress_bar
from segkit.engine.run_folder import RunFolder, environment, write_result
from segkit.errors import UserError
from segkit.inputs import find_checkpoint, find_pictures
from segkit.settings import PredictSettings

SETTINGS = PredictSettings
log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Paint every picture of ``input`` into ``folder``. Exits with 1 when a picture could not be read.

    Raises:
        UserError: no picture, no checkpoint, no such GPU.
    """
    pictures = find_pictures(settings["input"])
    if any(picture.resolve().parent.parent == folder.path.resolve() for picture in pictures):
        raise UserError(
            f"output={folder.path}: the pictures of input= lie in it and could be overwritten; give another"
        )
    path = find_checkpoint(settings["checkpoint"], "checkpoint")

    from segkit.engine.checkpoints import read_checkpoint
    from segkit.engine.devices import one_gpu
    from segkit.engine.predictor import Predictor
    from segkit.painting import paint_pictures

    gpu = one_gpu(settings["gpus"], "gpus")
    predictor = Predictor(read_checkpoint(path, "checkpoint"), gpu)
    with progress_bar() as bar:
        row = bar.add_task("painting", total=len(pictures), note="")
        unreadable = paint_pictures(predictor, pictures, folder.path, lambda path: bar.advance(row))
    for reason in unreadable.values():
        log.error("skipped: %s", reason)
    written = len(pictures) - len(unreadable)
    write_result(
        folder.path, {"checkpoint": str(path), "pictures": written, "unreadable": unreadable, **environment(gpu)}
    )
    log.info("%d pictures painted in %s", written, folder.path)
    if unreadable:
        sys.exit(1)
