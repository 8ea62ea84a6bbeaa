"""From a request's body to a picture: its size is looked at before it is decoded, and every flaw is a sentence."""

import base64
import binascii
import io
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segkit.data.checks import PictureError
from segkit.data.images import decode_rgb
from segkit.errors import UserError
from segkit.road.calibration import Calibration
from segkit.serve.messages import Refused

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
NAMES = "PNG, JPEG, WebP, TIFF or BMP"
KEYS = {"picture", "calibration", "threshold"}
LONGEST_CALIBRATION = 2**16


class Asked(NamedTuple):
    """What a request is about.

    ``picture`` is the file's content, (``height``, ``width``) as its header says; ``threshold`` the confidence 0…1 from
    which on the second of two classes is seen.
    """

    picture: bytes
    height: int
    width: int
    calibration: Calibration | None
    threshold: float | None


def read_request(body: bytes, kind: str, max_pixels: int) -> Asked:
    """A body of a picture alone, or JSON with it in base64 and more beside it.

    Args:
        body: as it came.
        kind: the request's Content-Type; all but ``application/json`` is taken for a picture.
        max_pixels: the largest picture.

    Raises:
        Refused: 400, or 413 for a picture that is too large.
    """
    given: dict[str, Any] = {}
    if kind.partition(";")[0].strip().lower() == "application/json":
        given = _json(body)
        body = _base64(given.get("picture"))
    if not body:
        raise _bad(f"There is no picture: send a file of {NAMES} as the body.")
    height, width = _size(body)
    if height * width > max_pixels:
        most = f"{max_pixels / 1e6:g} megapixels"
        sentence = f"The picture has {width} × {height} pixels; {most} are the most here."
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)
    return Asked(body, height, width, _calibration(given.get("calibration")), _threshold(given.get("threshold")))


def decode(picture: bytes) -> NDArray[np.uint8]:
    """RGB uint8 (H, W, 3), turned as a camera's mark says. Raises Refused (400)."""
    try:
        return decode_rgb(picture, Path("the picture"))
    except PictureError as error:
        raise _bad(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


def _size(picture: bytes) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(picture), formats=FORMATS) as opened:
            width, height = opened.size
    except Image.DecompressionBombError as error:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The picture is far too large.") from error
    except Exception as error:  # of a damaged header, its reader raises whatever it stumbles over
        raise _bad(f"This is no picture, or a damaged one: send {NAMES}.") from error
    if width < 1 or height < 1:
        raise _bad("The picture has no pixels.")
    return height, width


def _json(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad("The body is no JSON, as its Content-Type says.") from error
    if not isinstance(given, dict) or not given.keys() <= KEYS:
        raise _bad(f"The JSON has to be an object with {', '.join(sorted(KEYS))} at most.")
    return given


def _base64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise _bad("picture has to be the file in base64.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad("picture is no base64.") from error


def _calibration(text: Any) -> Calibration | None:
    if text is None:
        return None
    if not isinstance(text, str) or len(text) > LONGEST_CALIBRATION:
        raise _bad("calibration has to be the text of a KITTI calibration file.")
    try:
        return Calibration.from_text(text, "calibration")
    except UserError as error:
        raise _bad(f"{error}.") from error
    except np.linalg.LinAlgError as error:  # of numbers beyond all measure
        raise _bad("calibration holds no camera.") from error


def _threshold(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _bad("threshold has to be a number from 0 to 1.")
    return float(value)


def _bad(sentence: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, sentence)
