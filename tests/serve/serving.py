"""A server in the test's own process, of a network whose answers are known, and what a client needs."""

import http.client
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image

from segkit.data.records import SegmentationClass
from segkit.predict.predictor import Segmenter
from segkit.serve.app import App, Limits
from segkit.serve.server import Server

TWO = (SegmentationClass("background", None, background=True), SegmentationClass("road", (0, 200, 0)))


class Redness(Segmenter):
    """Of two classes: the second is as probable as the red of a pixel says."""

    class_list = TWO

    def views(self, picture: np.ndarray) -> list[np.ndarray]:
        return [picture]

    def probabilities_at(self, views: Sequence[np.ndarray], size: tuple[int, int]) -> torch.Tensor:
        second = torch.from_numpy(views[0][..., 0]).float() / 255
        return torch.stack([1 - second, second])


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def sentence(self) -> str:
        return str(self.json["error"])


class Client:
    """A connection that is kept."""

    def __init__(self, server: Server) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def __call__(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        self.connection.request(method, path, body, {key.replace("_", "-"): text for key, text in headers.items()})
        answer = self.connection.getresponse()
        return Reply(answer.status, {key.lower(): text for key, text in answer.getheaders()}, answer.read())


@contextmanager
def serving(
    segmenter: Segmenter | None = None, timeout: float = 30, **more: Any
) -> Iterator[tuple[App, Server, Client]]:
    """``more`` are limits, or arguments of ``App``."""
    limits = {"batch": 8, "queue": 64, "max_megapixels": 16, "max_megabytes": 32}
    limits |= {key: more.pop(key) for key in list(more) if key in limits}
    app = App(
        segmenter or Redness(), Limits(**limits, timeout=timeout), more.pop("about", {"checkpoint": ["run"]}), **more
    )
    server = Server("127.0.0.1", 0, app, timeout, app.limits.bytes)
    server.start()
    try:
        yield app, server, Client(server)
    finally:
        server.stop()
        app.stop()


def picture(height: int = 30, width: int = 50, seed: int = 0) -> np.ndarray:
    """Noise, RGB."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def file_of(image: np.ndarray, ending: str = ".png") -> bytes:
    return cv2.imencode(ending, image[..., ::-1])[1].tobytes()


def mask_in(content: bytes) -> np.ndarray:
    """Of a palette PNG, its values."""
    return np.array(Image.open(io.BytesIO(content)))
