"""Frames of a video file, a camera or a drive's pictures: one after the other, none kept.

OpenCV reads all of them, with the FFmpeg in its wheel.
"""

import math
import os
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.images import MAX_MEGAPIXELS, decode_image
from segkit.errors import UserError

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what it finds wrong is said here, in one line

_TICK = 0.0005
"""Seconds to which a container's times are exact."""

_CUT = 1.0
"""A file that ends so many seconds before its header's end is cut off. Sound goes on after the pictures for less."""


class Frame(NamedTuple):
    """One frame.

    Attributes:
        number: in the video, from 0; broken ones and those that were not asked for are counted.
        seconds: its time from the video's beginning.
        path: a name of its own, ``<video>_<number>.png``, or the picture's file.
        image: RGB uint8 (H, W, 3), or the error that says why there is none.
    """

    number: int
    seconds: float
    path: Path
    image: NDArray[np.uint8] | UserError


class Frames(Protocol):
    """What is iterated over; each iteration reads from the beginning.

    Attributes:
        rate: frames a second of what it gives.
        total: how many it gives; None where nobody knows.
    """

    @property
    def rate(self) -> float: ...

    @property
    def total(self) -> int | None: ...

    def __iter__(self) -> Iterator[Frame]: ...


class VideoFile:
    """A file of any container and codec that FFmpeg knows.

    A frame that cannot be decoded is given as an error, and so is the end of a file that is cut off.

    Args:
        path: the file.
        stride: every ``stride``-th frame is given.
        start, end: seconds from the beginning; frames from ``start`` on, before ``end``.

    Raises:
        UserError: it is no video, or has no frame there.
    """

    def __init__(self, path: Path, stride: int = 1, start: float = 0.0, end: float | None = None) -> None:
        self.path, self._end = path, math.inf if end is None else end
        self._times = packet_times(path)
        first, last = (bisect_left(self._times, seconds - _TICK) for seconds in (start, self._end))
        self._chosen = range(first, last, stride)
        capture = _capture(path)
        if capture is None or not self._times:
            raise UserError(f"input={path}: is no video that can be read")
        told, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        capture.release()
        if not self._chosen:
            raise UserError(f"input={path}: lasts {self._times[-1]:.1f} s; start= and end= leave no frame of it")
        rate = told if 0.1 <= told <= 480 else self._mean_rate()
        self._header_seconds = count / told if told > 0 else 0.0
        self.rate, self.total = rate / stride, len(self._chosen)

    def __iter__(self) -> Iterator[Frame]:
        capture = _capture(self.path)
        if capture is None:
            raise UserError(f"{self.path}: cannot be read any more")
        failed: list[int] = []
        seconds = -1.0
        try:
            for number in range(self._chosen.stop):
                if not capture.grab():  # the next call goes on behind what is broken
                    failed.append(number)
                    continue
                yield from self._broken(failed)
                failed, seconds = [], capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if number in self._chosen:
                    whole, image = capture.retrieve()
                    if whole:
                        yield Frame(number, seconds, self._name(number), _rgb(image))
                    else:
                        yield from self._broken([number])
        finally:
            capture.release()
        # Some codecs have packets without a picture of their own, after which a file seems to end too early.
        yield from self._broken([number for number in failed if self._times[number] > seconds + _TICK])
        last = self._times[-1]
        if self._header_seconds > last + _CUT + 1 / self.rate and self._end > last + _CUT:
            said = f"{self.path}: ends after {last:.1f} of {self._header_seconds:.1f} s, it is cut off"
            yield Frame(len(self._times), last, self._name(len(self._times)), UserError(said))

    def _broken(self, numbers: Sequence[int]) -> Iterator[Frame]:
        for number in numbers:
            if number in self._chosen:
                seconds = self._times[number]
                said = UserError(f"{self.path}: frame {number} at {seconds:.3f} s is broken")
                yield Frame(number, seconds, self._name(number), said)

    def _name(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.stem}_{number:06d}.png")

    def _mean_rate(self) -> float:
        lasts = self._times[-1] - self._times[0]
        return (len(self._times) - 1) / lasts if lasts > 0 else 25.0


class Camera:
    """A camera of this machine, whose frames have the time at which they were taken from it.

    What comes faster than it is taken is dropped by the system.

    Args:
        number: the system's, from 0.
        stride, start, end: as for ``VideoFile``; without ``end`` it goes on for ever.

    Raises:
        UserError: there is none.
    """

    total = None

    def __init__(self, number: int, stride: int = 1, start: float = 0.0, end: float | None = None) -> None:
        self.number, self.stride = number, stride
        self.start, self.end = start, math.inf if end is None else end
        if self.end <= start:
            raise UserError(f"end={self.end:g}: is no time after start={start:g}")
        with quiet():
            self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            raise UserError(f"input={number}: there is no camera {number}, or another program has it")
        told = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = (told if 0.1 <= told <= 480 else 30.0) / stride

    def __iter__(self) -> Iterator[Frame]:
        begun, number, path = time.monotonic(), 0, Path(f"camera{self.number}")
        try:
            while (seconds := time.monotonic() - begun) < self.end:
                there, image = self._capture.read()
                name = path.with_name(f"{path.name}_{number:06d}.png")
                if not there:
                    yield Frame(number, seconds, name, UserError(f"camera {self.number} gives no more frames"))
                    return
                if seconds >= self.start and number % self.stride == 0:
                    yield Frame(number, seconds, name, _rgb(image))
                number += 1
        finally:
            self._capture.release()


class PictureFrames:
    """The pictures of a drive, in the order in which they are given.

    Args:
        paths: their files.
        fps: how many there were a second.
        stride, start, end: as for ``VideoFile``.
        max_megapixels: a larger picture is not read.

    Raises:
        UserError: ``start`` and ``end`` leave none.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        fps: float,
        stride: int = 1,
        start: float = 0.0,
        end: float | None = None,
        max_megapixels: float = MAX_MEGAPIXELS,
    ) -> None:
        self.max_megapixels = max_megapixels
        first = math.ceil((start - _TICK) * fps)
        last = len(paths) if end is None else min(math.ceil((end - _TICK) * fps), len(paths))
        self._numbers = range(max(first, 0), last, stride)
        if not self._numbers:
            raise UserError(f"input=: {len(paths)} pictures at fps={fps:g}: start= and end= leave none of them")
        self.paths, self.fps = paths, fps
        self.rate, self.total = fps / stride, len(self._numbers)

    def __iter__(self) -> Iterator[Frame]:
        for number in self._numbers:
            path = self.paths[number]
            image: NDArray[np.uint8] | UserError
            try:
                image = decode_image(path, self.max_megapixels)
            except UserError as error:
                image = error
            yield Frame(number, number / self.fps, path, image)


def _rgb(image: cv2.typing.MatLike) -> NDArray[np.uint8]:
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def packet_times(path: Path) -> list[float]:
    """When each frame of a file is shown, in seconds: from the container, nothing is decoded."""
    capture = _capture(path, cv2.CAP_PROP_FORMAT, -1)
    times = []
    while capture is not None and capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return sorted(times)


def _capture(path: Path, *settings: int) -> cv2.VideoCapture | None:
    with quiet():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, settings)
    return capture if capture.isOpened() else None


@contextmanager
def quiet() -> Iterator[None]:
    """What OpenCV's own code writes to the process's standard error while it looks for cameras and codecs is lost."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
