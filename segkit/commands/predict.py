"""``segkit predict``: pictures in, painted pictures out."""

import logging
import sys
from pathlib import Path
from typing import Any

from segkit.settings import PredictSettings

SETTINGS = PredictSettings
log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: Path) -> None:
    """Paint every picture of ``input`` into ``folder``. Exits with 1 when a picture could not be read.

    Raises:
        UserError: no picture, no checkpoint, no such GPU.
    """
    from segkit.console import progress_bar
    from segkit.engine.checkpoints import read_checkpoint
    from segkit.engine.devices import gpu_indices
    from segkit.engine.predictor import Predictor
    from segkit.engine.run_folder import environment, write_result
    from segkit.painting import find_pictures, paint_pictures

    pictures = find_pictures(settings["input"])
    checkpoint = read_checkpoint(settings["checkpoint"], "checkpoint")
    gpus = gpu_indices(settings["gpus"], "gpus")
    predictor = Predictor(checkpoint, gpus[0] if gpus else None)
    with progress_bar() as bar:
        row = bar.add_task("painting", total=len(pictures), note="")
        unreadable = paint_pictures(predictor, pictures, folder, lambda path: bar.advance(row))
    for reason in unreadable.values():
        log.error("skipped: %s", reason)
    written = len(pictures) - len(unreadable)
    write_result(
        folder,
        {"checkpoint": settings["checkpoint"], "pictures": written, "unreadable": unreadable, **environment()},
    )
    log.info("%d pictures painted in %s", written, folder)
    if unreadable:
        sys.exit(1)
