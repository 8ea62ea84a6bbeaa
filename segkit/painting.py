"""Predictions as pictures on disk: ``overlay/``, ``mask/`` and ``confidence/``, one PNG per picture under its name."""

import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segkit.data.images import decode_image
from segkit.data.records import SegmentationClass
from segkit.engine.predictor import Predictor
from segkit.errors import UserError
from segkit.visual import paint


def paint_pictures(
    predictor: Predictor, pictures: Iterable[Path], folder: Path, on_done: Callable[[Path], None] | None = None
) -> dict[str, str]:
    """Predict each picture and write its overlay, mask and confidence under ``folder``.

    Returns the pictures that could not be read, each with the reason; the others are written all the same.
    """
    unreadable: dict[str, str] = {}
    for kind in ("overlay", "mask", "confidence"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for path in pictures:
        try:
            picture = decode_image(path)
        except UserError as error:
            unreadable[str(path)] = str(error)
        else:
            probabilities = predictor.probabilities(picture)
            classes = probabilities.argmax(0).byte().cpu().numpy()
            # Two classes: how sure the network is of the second (road). More: of the one that it chose.
            sure = probabilities[1] if len(probabilities) == 2 else probabilities.amax(0)
            confidence = (sure * 255).round().byte().cpu().numpy()
            name = f"{path.stem}.png"
            _write(folder / "overlay" / name, _png(paint(picture, classes, predictor.class_list)[..., ::-1]))
            _write(folder / "mask" / name, mask_png(classes, predictor.class_list))
            _write(folder / "confidence" / name, _png(confidence))
        if on_done is not None:
            on_done(path)
    return unreadable


def mask_png(classes: NDArray[np.uint8], class_list: Sequence[SegmentationClass]) -> bytes:
    """Class numbers (H, W) as a palette PNG: its pixel values are the classes, viewers show their colours."""
    mask = Image.new("P", (classes.shape[1], classes.shape[0]))
    mask.frombytes(classes.tobytes())
    mask.putpalette([value for c in class_list for value in (c.colour or (0, 0, 0))])
    content = io.BytesIO()
    mask.save(content, "PNG")
    return content.getvalue()


def _png(array: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", array)[1].tobytes()


def _write(path: Path, content: bytes) -> None:
    """Write in one step, so that a full disk or a kill leaves no half of a picture."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
