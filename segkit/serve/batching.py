"""The network in its one thread, and a queue with a limit: what waits together is computed together."""

import logging
import math
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segkit.predict.predictor import Segmenter
from segkit.serve.messages import Refused, come_back

LARGEST = 8
"""Pictures of the largest size that may be in work at once; smaller ones up to the queue's limit."""

OUTPUT_BYTES = 2**28
"""Probabilities of one batch, in all."""

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]


class Segmented(NamedTuple):
    """Class numbers and confidence (H, W), as ``Segmenter.predict`` gives them.

    ``milliseconds`` the network took, ``together`` is how many pictures that were.
    """

    classes: Image
    confidence: Image
    milliseconds: float
    together: int


@dataclass(frozen=True, eq=False)  # one is itself alone, whatever the others' pictures are
class _Job:
    views: Sequence[Image]
    size: tuple[int, int]
    answer: Future[Segmented]

    @property
    def kind(self) -> tuple[tuple[int, ...], ...]:
        """Pictures of one kind can be shown to the network together."""
        return tuple(view.shape for view in self.views)


class Batching:
    """A network and its queue.

    Args:
        segmenter: the network; nobody else may use it.
        most: pictures in one batch at most. Batches are of 1, 2, 4, … pictures: on a GPU each size is recorded once.
        queue: pictures in work at once, from their decoding on.
        pixels: of the largest picture.
    """

    def __init__(self, segmenter: Segmenter, most: int, queue: int, pixels: int) -> None:
        self.segmenter, self.most, self.queue = segmenter, most, queue
        self._room = LARGEST * pixels
        self._in_work, self._pixels, self._seconds_each = 0, 0, 0.0
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    @contextmanager
    def place(self, pixels: int) -> Iterator[None]:
        """Within it a picture of so many pixels is in work. Raises Refused (503) where the queue is full."""
        with self._changed:
            full = self._in_work >= self.queue or (self._in_work > 0 and self._pixels + pixels > self._room)
            if full:
                wait = max(1, math.ceil(self._seconds_each * self._in_work))
                raise come_back(f"{self._in_work} pictures are in work, the most here.", wait)
            self._in_work += 1
            self._pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._in_work -= 1
                self._pixels -= pixels

    def segment(self, views: Sequence[Image], size: tuple[int, int]) -> Segmented:
        """What the network says of a picture of ``size`` (height, width), shown as ``segmenter.views`` gives it.

        Waits for its turn. Raises Refused where the network fails on it.
        """
        answer: Future[Segmented] = Future()
        with self._changed:
            if self._stopping:
                raise come_back("The server is being stopped.")
            self._waiting.append(_Job(views, size, answer))
            self._changed.notify()
        return answer.result()

    @property
    def healthy(self) -> bool:
        return self._thread.is_alive() and not self._stopping

    def stop(self) -> None:
        """Compute what is waiting, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        try:
            while jobs := self._next():
                try:
                    self._compute(jobs)
                except Exception:
                    log.exception("a batch of %d pictures failed; each is tried alone", len(jobs))
                    for job in jobs:
                        self._alone(job)
        finally:  # however it ends, nobody is to wait for ever
            with self._changed:
                self._stopping = True
                for job in self._waiting:
                    job.answer.set_exception(come_back("The network has ended."))
                self._waiting.clear()

    def _alone(self, job: _Job) -> None:
        """What is wrong with one picture is not to hurt those that came with it."""
        if job.answer.done():
            return
        try:
            self._compute([job])
        except Exception:
            log.exception("the network failed on a picture of %d×%d", *job.size)
            sentence = "The network failed on this picture; the server's log says how."
            job.answer.set_exception(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, sentence))

    def _compute(self, jobs: Sequence[_Job]) -> None:
        begun = perf_counter()
        pictures = [(job.views, job.size) for job in jobs]
        decided = []
        for probabilities in self.segmenter.probabilities_together(pictures):
            decided.append([one.cpu().numpy() for one in self.segmenter.decide(probabilities)])
        seconds = perf_counter() - begun
        self._seconds_each = 0.9 * self._seconds_each + 0.1 * seconds / len(jobs)
        for job, (classes, confidence) in zip(jobs, decided, strict=True):
            job.answer.set_result(Segmented(classes, confidence, 1000 * seconds, len(jobs)))

    def _next(self) -> list[_Job]:
        """The longest waiting picture, and those of its kind that wait too; none where the server is being stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if not self._waiting:
                return []
            alike = [job for job in self._waiting if job.kind == self._waiting[0].kind][: self.most]
            height, width = np.max([job.size for job in alike], 0)
            fitting = OUTPUT_BYTES // (4 * len(self.segmenter.class_list) * int(height) * int(width))
            count = 2 ** int(math.log2(max(1, min(len(alike), fitting))))
            for job in alike[:count]:
                self._waiting.remove(job)
            return alike[:count]
