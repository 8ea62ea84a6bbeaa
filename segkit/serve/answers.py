"""What the network says of a picture, as a client asked for it: a PNG, or JSON with runs, polygons or PNGs."""

import base64
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.records import SegmentationClass
from segkit.serve.messages import Refused

Form = Literal["image/png", "runs", "polygons", "png"]
"""A PNG alone, or what JSON holds the mask as."""

FORMS: tuple[Form, ...] = ("image/png", "runs", "polygons", "png")

Image = NDArray[np.uint8]


def form_of(accept: str) -> Form:
    """The form that an Accept header asks for first; where it leaves the choice, a PNG.

    JSON is told apart by a parameter, ``application/json; mask=polygons``; without it the mask is runs.

    Raises:
        Refused: 406, naming what there is.
    """
    wanted: list[tuple[float, Form]] = []
    for part in accept.split(",") if accept.strip() else ["*/*"]:
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        values = dict(word.partition("=")[::2] for word in parameters)
        form = {"image/png": "image/png", "image/*": "image/png", "*/*": "image/png"}.get(kind)
        if kind in ("application/json", "application/*"):
            form = values.get("mask", "runs").strip('"')
        for known in FORMS:
            if form == known and (weight := _weight(values.get("q", "1"))) > 0:
                wanted.append((weight, known))
    if not wanted:
        forms = "image/png, application/json (mask=runs), application/json; mask=polygons, application/json; mask=png"
        raise Refused(HTTPStatus.NOT_ACCEPTABLE, f"Accept has to be one of {forms}.")
    return max(wanted, key=lambda one: one[0])[1]


def with_threshold(classes: Image, confidence: Image, threshold: float | None) -> Image:
    """The classes of a network of two, the second where its confidence is above ``threshold``; None = as they are."""
    return classes if threshold is None else (confidence > 255 * threshold).view(np.uint8)


def described(classes: Image, class_list: Sequence[SegmentationClass]) -> dict[str, Any]:
    """Size, and each class with its share of the pixels."""
    counts = cv2.calcHist([classes], [0], None, [256], [0, 256]).ravel()
    return {
        "width": classes.shape[1],
        "height": classes.shape[0],
        "classes": [
            {
                "class": number,
                "name": item.name,
                "colour": item.colour and list(item.colour),
                "share": round(float(counts[number]) / classes.size, 6),
            }
            for number, item in enumerate(class_list)
        ],
    }


def runs(classes: Image) -> list[int]:
    """Row by row: a class, for how many pixels it goes on, the next class, …

    ``np.repeat(runs[::2], runs[1::2]).reshape(height, width)`` is the mask again.
    """
    flat = classes.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(starts, append=flat.size)
    return np.column_stack([flat[starts], lengths]).ravel().tolist()


def polygons(classes: Image) -> list[dict[str, Any]]:
    """The areas of each class: ``class``, ``outline`` and ``holes``, which are lists of points [x, y].

    Points are the centres of an area's outermost pixels, round a hole too. Filled by the even-odd rule, edges included
    (``cv2.fillPoly(mask, [outline, *holes], class)``), they are the mask again.
    """
    found: list[dict[str, Any]] = []
    for number in np.flatnonzero(cv2.calcHist([classes], [0], None, [256], [0, 256]).ravel()):
        mask = (classes == number).view(np.uint8)
        lines, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        areas: dict[int, dict[str, Any]] = {}
        for place, (line, (_, _, _, outside)) in enumerate(zip(lines, hierarchy[0].tolist(), strict=True)):
            points = line[:, 0].tolist()
            if outside < 0:
                areas.setdefault(place, {"holes": []}).update({"class": int(number), "outline": points})
            else:
                areas.setdefault(outside, {"holes": []})["holes"].append(points)
        found += areas.values()
    return found


def in_base64(content: bytes) -> str:
    """For JSON."""
    return base64.b64encode(content).decode()


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
