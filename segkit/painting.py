"""Predictions on disk: for each format a folder with one PNG per picture, under its name, and ``road.json``."""

import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from segkit.data.images import decode_image
from segkit.data.records import SegmentationClass
from segkit.drawing import draw_on_birds_eye, draw_on_picture
from segkit.engine.predictor import Predictor
from segkit.errors import UserError
from segkit.files import write_whole
from segkit.geometry import BirdsEyeView, Calibration
from segkit.geometry.free_road import FreeRoad, free_road
from segkit.inference import to_confidence
from segkit.inputs import shortlist
from segkit.submission import Submission
from segkit.visual import paint

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
    each file that could not be read; ``without_calibration`` names the others that have none.
    """

    written: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    without_calibration: list[str] = field(default_factory=list)


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
    the others from being written.
    """
    done = Painted()
    metres: dict[str, Any] = {}
    road = road_class(predictor.class_list)
    in_metres = "bev" in formats or any(picture.calibration is not None for picture in pictures)
    if in_metres and road is None:
        log.warning("none of this network's classes is named road or lane: no metres")
    for kind in formats:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for path, calibration in ((picture.path, picture.calibration) for picture in pictures):
        try:
            image = decode_image(path)
        except UserError as error:
            done.unreadable[str(path)] = str(error)
        else:
            probabilities = predictor.probabilities(image)
            prediction = _predicted(image, probabilities, predictor.class_list, calibration)
            for kind in formats:
                if kind == "bev" and calibration is None:
                    continue
                write_whole(folder / kind / f"{path.stem}.png", _ENCODED[kind](prediction))
                done.written[kind] += 1
            if calibration is None:
                done.without_calibration.append(path.stem)
            if prediction.free is not None:
                metres[path.stem] = prediction.free.as_dict()
            if submission is not None:
                submission.add(path, to_confidence(probabilities[road]).cpu().numpy())
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


def _predicted(
    image: NDArray[np.uint8],
    probabilities: Tensor,
    class_list: Sequence[SegmentationClass],
    calibration: Calibration | None,
) -> Prediction:
    classes = probabilities.argmax(0).byte().cpu().numpy()
    # Two classes: how sure the network is of the second (road). More: of the one that it chose.
    sure = probabilities[1] if len(probabilities) == 2 else probabilities.amax(0)
    road = road_class(class_list)
    free = None
    if calibration is not None and road is not None:
        free = free_road(GRID.warp(classes == road, calibration), GRID.seen(calibration, classes.shape), GRID)
    painted = paint(image, classes, class_list)
    return Prediction(painted, classes, to_confidence(sure).cpu().numpy(), class_list, calibration, free)


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
