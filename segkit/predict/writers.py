"""Predictions on disk: for each format a folder with one PNG per picture, under its name, and ``road.json``."""

import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segkit.data.images import decode_image
from segkit.data.overlay import paint
from segkit.data.records import SegmentationClass
from segkit.errors import UserError
from segkit.predict.inputs import shortlist
from segkit.predict.pipeline import Seconds, staged
from segkit.predict.postprocess import to_confidence
from segkit.predict.predictor import Predictor
from segkit.road import BirdsEyeView, Calibration
from segkit.road.drawing import draw_on_birds_eye, draw_on_picture
from segkit.road.free_space import FreeRoad, free_road
from segkit.road.submission import Submission
from segkit.runs.files import write_whole

GRID = BirdsEyeView()
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """A picture to predict: its file, and where its camera stands over the road, where that is known."""

    path: Path
    calibration: Calibration | None = None

    @classmethod
    def from_files(cls, path: Path, calibration: Path | None) -> "Picture":
        """Reads the calibration alone. Raises UserError as ``Calibration.from_file``."""
        return cls(path, None if calibration is None else Calibration.from_file(calibration))


@dataclass(frozen=True)
class Prediction:
    """What the network says of one picture, at the picture's own size.

    ``painted`` is the picture with the classes' colours, RGB uint8 (H, W, 3); ``classes`` and ``confidence`` are
    uint8 (H, W). ``free`` is there where both calibration and road are known.
    """

    painted: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    class_list: Sequence[SegmentationClass]
    calibration: Calibration | None
    free: FreeRoad | None


@dataclass
class Painted:
    """What came of the pictures.

    ``written`` counts pictures by format, and as ``road`` those of ``road.json``; ``unreadable`` gives the reason for
    each file that could not be read; ``without_calibration`` names the others that have none. ``seconds``: what
    reading, network and writing took.
    """

    written: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    without_calibration: list[str] = field(default_factory=list)
    seconds: Seconds = field(default_factory=Seconds)


def paint_pictures(
    predictor: Predictor,
    pictures: Sequence[Picture],
    folder: Path,
    formats: Sequence[str] = ("overlay", "mask", "confidence"),
    submission: Submission | None = None,
    on_done: Callable[[Path], None] | None = None,
) -> Painted:
    """Predict each picture and write it under ``folder`` as each of ``formats``: overlay, mask, confidence, bev.

    Where any picture has a calibration, or ``bev`` is asked for, ``road.json`` holds the metres of free road, and
    names the pictures without calibration: they have neither metres nor a bird's-eye view. ``submission`` is given the
    confidence of each picture's road, and is left to the caller to write. A picture that cannot be read keeps none of
    the others from being written. Reading and writing go on in other threads; ``on_done`` is called in this one, in
    the order of ``pictures``.
    """
    done = Painted()
    metres: dict[str, Any] = {}
    road = road_class(predictor.class_list)
    in_metres = "bev" in formats or any(picture.calibration is not None for picture in pictures)
    if in_metres and road is None:
        log.warning("none of this network's classes is named road or lane: no metres")
    for kind in formats:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    stages = _Stages(predictor, folder, formats, submission)
    for picture, free in staged(pictures, stages.read, stages.network, stages.write, done.seconds):
        path = picture.path
        if isinstance(free, UserError):
            done.unreadable[str(path)] = str(free)
        else:
            done.written.update(kind for kind in formats if kind != "bev" or picture.calibration is not None)
            if picture.calibration is None:
                done.without_calibration.append(path.stem)
            if free is not None:
                metres[path.stem] = free.as_dict()
        if on_done is not None:
            on_done(path)
    if in_metres and done.without_calibration:
        log.warning("without calibration, so no bird's-eye view, no metres: %s", shortlist(done.without_calibration))
    if in_metres and road is not None:
        done.written["road"] = len(metres)
        content = {"pictures": metres, "without_calibration": done.without_calibration}
        write_whole(folder / "road.json", json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")
    return done


def road_class(class_list: Sequence[SegmentationClass]) -> int | None:
    """The class that is the road: that named ``road`` or ``lane``, else class 1 of two; None where there is none."""
    names = [item.name for item in class_list]
    named = [names.index(name) for name in ("road", "lane") if name in names]
    return named[0] if named else 1 if len(names) == 2 else None


class _Read(NamedTuple):
    """A picture, RGB uint8 (H, W, 3), and the same at the network's input size."""

    image: NDArray[np.uint8]
    resized: NDArray[np.uint8]


class _Answer(NamedTuple):
    """The network's, all uint8 (H, W); ``road`` is the road's confidence, where a submission wants it."""

    image: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    road: NDArray[np.uint8] | None


class _Stages:
    """What is done with each picture. One that cannot be read goes through as the error that says why."""

    def __init__(
        self, predictor: Predictor, folder: Path, formats: Sequence[str], submission: Submission | None
    ) -> None:
        self.predictor, self.folder, self.formats, self.submission = predictor, folder, formats, submission
        self.road = road_class(predictor.class_list)

    def read(self, picture: Picture) -> _Read | UserError:
        try:
            image = decode_image(picture.path)
        except UserError as error:
            return error
        return _Read(image, self.predictor.resized(image))

    def network(self, read: _Read | UserError) -> _Answer | UserError:
        if isinstance(read, UserError):
            return read
        height, width = read.image.shape[:2]
        probabilities = self.predictor.probabilities_at(read.resized, (height, width))
        # ``max`` over few rows is 40 times as fast as ``argmax`` on a CPU; of equals, both take the first.
        largest, classes = probabilities.max(0)
        # Two classes: how sure the network is of the second (road). More: of the one that it chose.
        sure = to_confidence(probabilities[1] if len(probabilities) == 2 else largest)
        road = None if self.submission is None else to_confidence(probabilities[self.road]).cpu().numpy()
        return _Answer(read.image, classes.byte().cpu().numpy(), sure.cpu().numpy(), road)

    def write(self, picture: Picture, answer: _Answer | UserError) -> FreeRoad | UserError | None:
        if isinstance(answer, UserError):
            return answer
        classes, calibration = answer.classes, picture.calibration
        free = None
        if calibration is not None and self.road is not None:
            free = free_road(GRID.warp(classes == self.road, calibration), GRID.seen(calibration, classes.shape), GRID)
        class_list = self.predictor.class_list
        painted = paint(answer.image, classes, class_list)
        prediction = Prediction(painted, classes, answer.confidence, class_list, calibration, free)
        for kind in self.formats:
            if kind != "bev" or calibration is not None:
                write_whole(self.folder / kind / f"{picture.path.stem}.png", _ENCODED[kind](prediction))
        if self.submission is not None and answer.road is not None:
            self.submission.add(picture.path, answer.road)
        return free


def _overlay(prediction: Prediction) -> bytes:
    picture = prediction.painted
    if prediction.calibration is not None and prediction.free is not None:
        picture = draw_on_picture(picture, prediction.free, prediction.calibration)
    return _png(picture[..., ::-1])


def _mask(prediction: Prediction) -> bytes:
    """A palette PNG: its pixel values are the classes, viewers show their colours."""
    classes = prediction.classes
    mask = Image.new("P", (classes.shape[1], classes.shape[0]))
    mask.frombytes(classes.tobytes())
    mask.putpalette([value for c in prediction.class_list for value in (c.colour or (0, 0, 0))])
    content = io.BytesIO()
    mask.save(content, "PNG")
    return content.getvalue()


def _confidence(prediction: Prediction) -> bytes:
    return _png(prediction.confidence)


def _birds_eye(prediction: Prediction) -> bytes:
    assert prediction.calibration is not None
    picture = GRID.warp(prediction.painted, prediction.calibration)
    if prediction.free is not None:
        picture = draw_on_birds_eye(picture, prediction.free, GRID)
    return _png(picture[..., ::-1])


_ENCODED: dict[str, Callable[[Prediction], bytes]] = {
    "overlay": _overlay,
    "mask": _mask,
    "confidence": _confidence,
    "bev": _birds_eye,
}


def _png(array: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", array)[1].tobytes()
