"""A video written picture by picture: through PyAV where it is installed, else through OpenCV.

PyAV writes VP9, and knows H.264 and sound. OpenCV cannot choose an encoder's pace: VP9 would take it thirty times as
long as PyAV, so it writes VP8, in a quarter of that time and larger files.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.errors import UserError
from segkit.predict.video_read import packet_times, quiet
from segkit.runs.files import create

Container = Literal["webm", "mp4"]

SOUND = {"webm": ("opus", "vorbis"), "mp4": ("aac", "mp3", "ac3", "eac3", "alac", "opus")}
"""The codecs that a container takes, so that sound is copied as it is."""

_CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "30", "b": "0"}),
    "mp4": ("libx264", {"preset": "veryfast", "crf": "23", "movflags": "+faststart"}),
}

_LONGEST_GAP = 10.0
"""Seconds for which a picture stands where none follows: a container's times may be nonsense."""

Picture = NDArray[np.uint8]


def check_container(container: Container) -> None:
    """Raises UserError where nothing is installed that writes it."""
    if container == "mp4" and find_spec("av") is None:
        raise UserError("container=mp4 needs PyAV: pip install -e '.[video]'; container=webm does without")


class VideoWriter:
    """A video that stands under its own name once it is complete, and under ``.<name>.part.<ending>`` before.

    A picture is shown from its time on, to within the time of one: where the next one is late, because frames between
    them are broken or come at no fixed rate, it stands for as long; one that comes before its place is left out. So
    sound and playing time stay right.

    Args:
        path: a ``.webm`` or ``.mp4`` file.
        rate: pictures a second.
        sound: a file whose sound is copied, where PyAV is installed and the container takes the sound's codec.
        end: the second of that file at which the video ends.
    """

    def __init__(self, path: Path, rate: float, sound: Path | None = None, end: float | None = None) -> None:
        self.path, self.rate = path, rate
        self._temporary = path.with_name(f".{path.stem}.part{path.suffix}")
        self._sound, self._end = sound, end
        self._encoder: _Encoder | None = None
        self._first, self._count = 0.0, 0
        self._last: Picture | None = None
        self.sound_lost: str | None = None
        """The codec of a sound that the container does not take."""

    def add(self, picture: Picture, seconds: float) -> None:
        """Show an RGB uint8 picture (H, W, 3) from ``seconds`` on; it is resized to the first one's size.

        Raises:
            UserError: the video cannot be written.
        """
        if self._last is None or self._encoder is None:
            self._encoder, self._first = self._open(picture, seconds), seconds
        else:
            late = round((seconds - self._first) * self.rate) - self._count
            if late < 0:  # at a rate that changes: its place is taken, and it stands where none follows
                self._last = self._resized(picture)
                return
            for _ in range(min(late, round(_LONGEST_GAP * self.rate))):
                self._write(self._last)
            picture = self._resized(picture)
        self._write(picture)
        self._last = picture

    def _resized(self, picture: Picture) -> Picture:
        """At the first one's size."""
        assert self._last is not None
        if picture.shape == self._last.shape:
            return picture
        height, width = self._last.shape[:2]
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)

    def close(self) -> bool:
        """Complete the file and put it in its place; False where there is nothing to show, and so no file.

        Raises:
            UserError: it is not whole, as on a full disk.
        """
        if self._encoder is None:
            return False
        self._encoder.close()
        held = len(packet_times(self._temporary))
        if held < self._count:
            self._temporary.unlink(missing_ok=True)
            raise UserError(f"{self.path}: only {held} of {self._count} pictures could be written; is the disk full?")
        os.replace(self._temporary, self.path)
        return True

    def discard(self) -> None:
        """Remove what has been written."""
        if self._encoder is not None:
            with suppress(Exception):  # what has kept it from being written keeps it from being closed
                self._encoder.close()
        self._temporary.unlink(missing_ok=True)

    def _open(self, picture: Picture, begin: float) -> "_Encoder":
        with suppress(FileNotFoundError):  # told by what writes
            create(self._temporary)
        size = (picture.shape[1] + picture.shape[1] % 2, picture.shape[0] + picture.shape[0] % 2)
        if find_spec("av") is None:
            return _OpenCV(self._temporary, self.rate, size)
        encoder = _PyAV(self._temporary, self.rate, size, self._sound, begin, self._end)
        self.sound_lost = encoder.sound_lost
        return encoder

    def _write(self, picture: Picture) -> None:
        assert self._encoder is not None
        # Colours have half the resolution: odd pictures get a row or column more.
        odd = picture.shape[0] % 2, picture.shape[1] % 2
        if any(odd):
            picture = cv2.copyMakeBorder(picture, 0, odd[0], 0, odd[1], cv2.BORDER_REPLICATE).astype(np.uint8)
        self._encoder.write(picture)
        self._count += 1


class _Encoder(Protocol):
    def write(self, picture: Picture) -> None: ...

    def close(self) -> None: ...


class _OpenCV:
    """VP8 through OpenCV, which says nothing of errors."""

    def __init__(self, path: Path, rate: float, size: tuple[int, int]) -> None:
        if path.suffix != ".webm":
            raise UserError(f"{path.name}: without PyAV only .webm is written")
        with quiet():
            self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), rate, size)
        if not self._writer.isOpened():
            raise UserError(f"{path}: OpenCV cannot write a video there")

    def write(self, picture: Picture) -> None:
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        self._writer.release()


class _PyAV:
    """VP9 or H.264 by the path's ending, with the sound of a file."""

    def __init__(
        self, path: Path, rate: float, size: tuple[int, int], sound: Path | None, start: float, end: float | None
    ) -> None:
        import av

        self._picture = av.VideoFrame.from_ndarray
        container = path.suffix[1:]
        codec, options = _CODECS[container]
        muxing = {key: options[key] for key in options if key == "movflags"}
        self._container: Any = av.open(str(path), "w", format=container, options=muxing)
        self._rate = Fraction(rate).limit_denominator(1001)
        self._stream = self._container.add_stream(codec, rate=self._rate)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {key: value for key, value in options.items() if key not in muxing}
        self._stream.thread_count = 0
        self._count = 0
        self.sound_lost: str | None = None
        self._sounds = self._copied(sound, start, end) if sound else iter(())
        self._next = next(self._sounds, None)  # adds its stream before the first packet is written

    def write(self, picture: Picture) -> None:
        frame = self._picture(picture, format="rgb24")
        frame.pts, frame.time_base = self._count, 1 / self._rate
        self._container.mux(self._stream.encode(frame))
        self._count += 1
        while self._next is not None and self._next[0] * self._rate < self._count:
            self._container.mux(self._next[1])
            self._next = next(self._sounds, None)

    def close(self) -> None:
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._container = None

    def _copied(self, path: Path, start: float, end: float | None) -> Iterator[tuple[Fraction, Any]]:
        """Times from ``start`` and packets of the file's sound, as it is."""
        import av

        with av.open(str(path)) as source:
            if not source.streams.audio:
                return
            stream = source.streams.audio[0]
            if stream.codec_context.name not in SOUND[self._container.format.name]:
                self.sound_lost = stream.codec_context.name
                return
            copy = self._container.add_stream_from_template(stream)
            begin = Fraction(start).limit_denominator(1000) + Fraction(source.start_time or 0, av.time_base)
            for packet in source.demux(stream):
                if packet.dts is None or packet.pts is None:
                    continue
                seconds = packet.pts * packet.time_base - begin
                if end is not None and seconds >= end - start:
                    return
                if seconds >= 0:
                    packet.pts -= round(begin / packet.time_base)
                    packet.dts -= round(begin / packet.time_base)
                    packet.stream = copy
                    yield seconds, packet
