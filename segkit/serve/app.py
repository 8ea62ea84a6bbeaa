"""What there is at which address, and the way of a picture from a request to its answer."""

import base64
import hashlib
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from time import perf_counter
from typing import Any

import numpy as np

from segkit.data.writer import png
from segkit.distributed.cores import cores
from segkit.errors import UserError
from segkit.predict.predictor import Segmenter
from segkit.predict.writers import mask_png
from segkit.road.calibration import Calibration
from segkit.serve.answers import described, form_of, in_base64, polygons, runs, with_threshold
from segkit.serve.batching import Batching
from segkit.serve.decoding import decode, read_request
from segkit.serve.messages import Answer, Refused, Request, json_answer
from segkit.serve.metres import metres
from segkit.serve.openapi import openapi
from segkit.serve.pictures import TestPicture, for_browsers, thumbnail

REMEMBERED = 10_000
"""Latest answers whose milliseconds are kept."""


@dataclass(frozen=True)
class Limits:
    """What a client may ask for at most, and how many at once; see ``conf/serve.yaml``."""

    batch: int
    queue: int
    max_megapixels: float
    max_megabytes: float
    timeout: float

    @property
    def pixels(self) -> int:
        return int(self.max_megapixels * 1e6)

    @property
    def bytes(self) -> int:
        return int(self.max_megabytes * 2**20)


class App:
    """Answers requests (``app(request)``), in many threads at once.

    Args:
        segmenter: the network.
        limits: see there.
        about: what ``/metadata`` says of it besides.
        pictures: to be tried on the page.
        calibration: of pictures that bring none.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        limits: Limits,
        about: Mapping[str, Any],
        pictures: Sequence[TestPicture] = (),
        calibration: Calibration | None = None,
    ) -> None:
        self.segmenter, self.limits, self.about = segmenter, limits, dict(about)
        self.pictures, self.calibration = list(pictures), calibration
        self.batching = Batching(segmenter, limits.batch, limits.queue, limits.pixels)
        self._decoders = threading.BoundedSemaphore(cores())
        self._lock = threading.Lock()
        self._statuses: Counter[int] = Counter()
        self._milliseconds: deque[float] = deque(maxlen=REMEMBERED)
        self.routes: dict[str, dict[str, Callable[[Request], Answer]]] = {
            "/": {"GET": self._page},
            "/ping": {"GET": self._ping},
            "/invocations": {"POST": self._invocations},
            "/metadata": {"GET": self._metadata},
            "/openapi.json": {"GET": self._openapi},
            "/pictures/{number}": {"GET": self._picture},
            "/pictures/{number}/small": {"GET": self._thumbnail},
            "/pictures/{number}/calibration": {"GET": self._calibration},
        }

    def __call__(self, request: Request) -> Answer:
        try:
            answer = self._route(request)(request)
        except Refused as refused:
            with self._lock:
                self._statuses[refused.status.value] += 1
            raise
        with self._lock:
            self._statuses[answer.status.value] += 1
        return answer

    def counts(self) -> dict[str, Any]:
        """Requests by status, and the milliseconds of the latest pictures, from the body's last byte to the answer."""
        with self._lock:
            statuses, took = dict(sorted(self._statuses.items())), list(self._milliseconds)
        p50, p99 = np.percentile(took, [50, 99]).round(2).tolist() if took else (None, None)
        return {"statuses": statuses, "milliseconds_p50": p50, "milliseconds_p99": p99}

    def stop(self) -> None:
        """Nothing more is computed than what waits already."""
        self.batching.stop()

    def _route(self, request: Request) -> Callable[[Request], Answer]:
        pattern = re.sub(r"^/pictures/\d{1,4}(?=/|$)", "/pictures/{number}", request.path)
        methods = self.routes.get(pattern)
        if methods is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"There is no {request.path[:100]}; /openapi.json says what there is.")
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods:
            sentence = f"{request.path} takes {' and '.join(methods)} alone."
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, sentence)
        return methods[method]

    def _page(self, request: Request) -> Answer:
        content, policy = page()
        return Answer(content, "text/html; charset=utf-8", headers={"Content-Security-Policy": policy} | PAGE_HEADERS)

    def _ping(self, request: Request) -> Answer:
        if not self.batching.healthy:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "The network is not at work.")
        return json_answer({"status": "healthy"})

    def _openapi(self, request: Request) -> Answer:
        return json_answer(openapi(self.limits, len(self.segmenter.class_list)))

    def _metadata(self, request: Request) -> Answer:
        return json_answer(
            self.about
            | {
                "classes": [
                    {"class": number, "name": item.name, "colour": item.colour and list(item.colour)}
                    for number, item in enumerate(self.segmenter.class_list)
                ],
                "max_megapixels": self.limits.max_megapixels,
                "max_megabytes": self.limits.max_megabytes,
                "calibrated": self.calibration is not None,
                "pictures": [
                    {"name": picture.name, "calibrated": picture.calibration is not None} for picture in self.pictures
                ],
            }
        )

    def _invocations(self, request: Request) -> Answer:
        form = form_of(request.headers.get("Accept", ""))
        body = request.body()
        begun = perf_counter()
        asked = read_request(body, request.headers.get("Content-Type", ""), self.limits.pixels)
        class_list = self.segmenter.class_list
        if asked.threshold is not None and len(class_list) != 2:
            sentence = f"threshold is for networks of two classes; this one has {len(class_list)}."
            raise Refused(HTTPStatus.BAD_REQUEST, sentence)
        with self.batching.place(asked.height * asked.width):
            with self._decoders:
                picture = decode(asked.picture)
                size, views = (picture.shape[0], picture.shape[1]), self.segmenter.views(picture)
                del picture
            said = self.batching.segment(views, size)
            classes = with_threshold(said.classes, said.confidence, asked.threshold)
            if form == "image/png":
                answer = Answer(mask_png(classes, class_list), "image/png")
            else:
                content = described(classes, class_list)
                calibration = asked.calibration or self.calibration
                road = None if calibration is None else metres(classes, class_list, calibration)
                if road is not None:
                    content["free_road"] = road.free
                if form == "runs":
                    content["runs"] = runs(classes)
                elif form == "polygons":
                    content["polygons"] = polygons(classes)
                else:
                    content["mask"] = in_base64(png(classes))
                    content["confidence"] = in_base64(png(said.confidence))
                    if road is not None:
                        content["drawing"] = in_base64(road.drawing)
                took = 1000 * (perf_counter() - begun)
                spent = {"network": said.milliseconds, "pictures_together": said.together, "all": took}
                content["milliseconds"] = {key: round(value, 2) for key, value in spent.items()}
                answer = json_answer(content)
        with self._lock:
            self._milliseconds.append(1000 * (perf_counter() - begun))
        return answer

    def _chosen(self, request: Request) -> TestPicture:
        number = int(request.path.split("/")[2])
        if number >= len(self.pictures):
            raise Refused(HTTPStatus.NOT_FOUND, f"There are {len(self.pictures)} pictures, counted from 0.")
        picture = self.pictures[number]
        if not picture.path.is_file():
            raise Refused(HTTPStatus.NOT_FOUND, f"{picture.name} is no longer there.")
        return picture

    def _picture(self, request: Request) -> Answer:
        return Answer(*for_browsers(self._chosen(request).path))

    def _thumbnail(self, request: Request) -> Answer:
        try:
            return Answer(thumbnail(self._chosen(request).path), "image/jpeg")
        except UserError as error:
            raise Refused(HTTPStatus.NOT_FOUND, f"{error}.") from error

    def _calibration(self, request: Request) -> Answer:
        picture = self._chosen(request)
        if picture.calibration is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"{picture.name} has no calibration.")
        return Answer(picture.calibration.read_bytes(), "text/plain; charset=utf-8")


PAGE_HEADERS = {"Cache-Control": "no-cache", "Referrer-Policy": "no-referrer", "Permissions-Policy": "camera=(self)"}


@cache
def page() -> tuple[bytes, str]:
    """The page, and the policy by which a browser runs its own script and style in it and nothing else."""
    content = (files("segkit.serve") / "page.html").read_text()
    hashes = {}
    for tag in ("script", "style"):
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", content, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found]
        hashes[tag] = " ".join(f"'sha256-{digest}'" for digest in digests)
    policy = (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; img-src 'self' blob: data:; "
        "media-src blob:; connect-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return content.encode(), policy
