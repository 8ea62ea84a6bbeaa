"""``segkit serve``: a trained network behind HTTP, for people (a page) and for programs."""

import logging
import os
import shlex
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from segkit import __version__
from segkit.commands.runner import Typed
from segkit.config.overrides import as_list, override, quoted, value_of
from segkit.config.trained_schema import ServeSettings
from segkit.errors import UserError
from segkit.remote.local import local_settings
from segkit.runs.find import find_checkpoints, find_runs
from segkit.runs.folder import RunFolder, environment, gpu_name, write_result
from segkit.sagemaker.serving import VARIABLE, served_model

if TYPE_CHECKING:
    from segkit.predict.predictor import Segmenter

SETTINGS = ServeSettings
log = logging.getLogger(__name__)


def prepare(typed: Typed) -> Typed:
    """In a container for inference on SageMaker, its model, and whoever reaches the container."""
    try:
        given = [quoted(word) for word in shlex.split(os.environ.get(VARIABLE, ""))]
    except ValueError as error:
        raise UserError(f"{VARIABLE}: {error}; write settings as on a command line") from error
    words = [*given, *typed.words]
    if value_of(words, "checkpoint") is None and (model := served_model()) is not None:
        words.append(override("checkpoint", str(model)))
        if value_of(words, "host") is None:
            words.append("host=0.0.0.0")
    return Typed(words, typed.config_dir)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Serve until Ctrl-C or SIGTERM, then finish what is under way. Exits with 1 when something could not be finished.

    Raises:
        UserError: no checkpoint, several networks of different classes, no such GPU, a wrong calibration, a port that
            is taken.
    """
    asked, settings = settings, local_settings(settings)
    checkpoints = find_checkpoints(as_list(settings["checkpoint"]), "checkpoint")

    warnings.simplefilter("ignore")  # of what damaged pictures hold; their senders are told
    # A header is held against the limit; this holds OpenCV to it as well, which looks at it when it is imported.
    pixels = str(int(settings["max_megapixels"] * 1e6))
    os.environ |= {"OPENCV_IO_MAX_IMAGE_PIXELS": pixels, "OPENCV_LOG_LEVEL": "SILENT"}

    from segkit.serve.app import App, Limits
    from segkit.serve.pictures import find_test_pictures
    from segkit.serve.server import Server

    calibration = None
    if settings["calibration"] is not None:
        from segkit.road.raw_calibration import read_calibration

        file = Path(settings["calibration"]).expanduser()
        calibration = read_calibration(file, file)
    limits = Limits(**{key: settings[key] for key in ("batch", "queue", "max_megapixels", "max_megabytes", "timeout")})
    segmenter, about = _network(settings, checkpoints)
    about["checkpoint"] = as_list(asked["checkpoint"])
    pictures, reason = find_test_pictures(_data(checkpoints[0]), as_list(settings["trust"]))
    app = App(segmenter, limits, about, pictures, calibration)
    server = Server(settings["host"], settings["port"], app, limits.timeout, limits.bytes)
    log.info("%d of the run's pictures on the page%s", len(pictures), f": {reason}" if reason else "")
    begun = time.time()
    with _Signals() as stopped:
        server.start()
        log.info("serving at %s", server.address)
        stopped.wait()
        log.info("finishing what is under way; a second signal ends at once")
        whole = server.stop()
        app.stop()
    counts = app.counts()
    answered = counts["statuses"].get(200, 0)
    log.info("%d requests answered, %d refused", answered, sum(counts["statuses"].values()) - answered)
    about |= {"started": begun, "seconds": round(time.time() - begun, 3), "address": server.address}
    write_result(folder.path, "serve", about | counts | environment())
    if not whole:
        log.error("some clients did not come to an end within %g s", limits.timeout)
        sys.exit(1)


def _data(checkpoint: Path) -> dict[str, Any] | None:
    """The settings ``data`` of the run that the checkpoint lies in the folder of; None where it lies in none."""
    try:
        return find_runs(str(checkpoint))[0].settings().get("data")
    except UserError:
        return None


def _network(settings: dict[str, Any], checkpoints: list[Path]) -> "tuple[Segmenter, dict[str, Any]]":
    """The network, and what ``/metadata`` says of it."""
    from segkit.distributed.devices import one_gpu, prediction_precision
    from segkit.predict.loading import load_ensemble
    from segkit.serve.warm_up import warm_up

    gpu = one_gpu(settings["gpus"], "gpus")
    precision, average = prediction_precision(settings["precision"], gpu), settings["average"]
    segmenter = load_ensemble(checkpoints, gpu, precision, as_list(settings["trust"]), average)
    first = segmenter.trained_input
    warm_up(segmenter, first.image_shape, settings["batch"])
    about = {
        "version": __version__,
        "input": first.as_dict(),
        "average": average,
        "precision": segmenter.precision,
        "gpu": gpu_name([] if gpu is None else [gpu]),
    }
    return segmenter, about


class _Signals:
    """Within it, Ctrl-C and SIGTERM set the event that it gives, the first time; the second time they end at once."""

    def __enter__(self) -> threading.Event:
        self._stopped = threading.Event()
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self._stopped

    def __exit__(self, *error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._stopped.is_set():
            raise KeyboardInterrupt
        self._stopped.set()
