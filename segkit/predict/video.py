"""Frames painted while they come: read, computed and written at the same time, a few of them in memory."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segkit.data.ahead import in_background
from segkit.data.overlay import Area, Painter
from segkit.data.writer import FrameWriter, Prediction, Writer
from segkit.errors import UserError
from segkit.predict.pipeline import Seconds, staged
from segkit.predict.predictor import Segmenter
from segkit.predict.smoothing import Flicker, Smoothing
from segkit.predict.video_read import Frame, Frames
from segkit.predict.video_write import VideoWriter
from segkit.predict.writers import Answer, Painted, Read, Stages, Written

WAITING = 4
"""Painted frames that wait at most for those who write one file of all."""


class PaintedVideo(FrameWriter):
    """``video.webm`` or ``video.mp4``: every frame as ``picture`` paints it.

    Args:
        writer: of the file.
        picture: RGB uint8 (H, W, 3) of a prediction.
    """

    name = "video"

    def __init__(self, writer: VideoWriter, picture: Callable[[Prediction], NDArray[np.uint8]]) -> None:
        self.files = (writer.path.name,)
        self.writer, self.picture = writer, picture
        self._count = 0

    def encode(self, prediction: Prediction) -> NDArray[np.uint8]:
        return self.picture(prediction)

    def append(self, path: Path, number: int, seconds: float, encoded: NDArray[np.uint8]) -> None:
        self.writer.add(encoded, seconds)
        self._count += 1

    def finish(self) -> int | None:
        return self._count if self.writer.close() else None

    def discard(self) -> None:
        self.writer.discard()


@dataclass
class PaintedFrames(Painted):
    """What came of frames: ``frames`` counts those that were painted.

    ``mean_areas`` are the mean shares of the classes over these. ``flicker`` is the share of pixels whose class changes
    from a frame to the next, before and after smoothing. ``interrupted``: by Ctrl-C, after these frames.
    """

    frames: int = 0
    mean_areas: Sequence[Area] = ()
    flicker: dict[str, float | None] = field(default_factory=dict)
    interrupted: bool = False


def paint_frames(
    predictor: Segmenter,
    frames: Frames,
    folder: Path,
    writers: Sequence[Writer],
    frame_writers: Sequence[FrameWriter],
    smooth: float = 0.0,
    on_done: Callable[[int], None] | None = None,
    painter: Painter | None = None,
) -> PaintedFrames:
    """Predict each frame; ``writers`` write a file of each, ``frame_writers`` one of all.

    A broken frame is passed over. Ctrl-C ends it as the end of the frames does: what is painted by then is kept and
    complete. Whatever else is raised removes the files of all frames.

    Args:
        writers: those of one picture each.
        smooth: see :class:`segkit.predict.smoothing.Smoothing`.
        on_done: called after each frame with how many are painted, in this thread.
        painter: of the predictor's classes; None = as pictures are painted where nobody says how.
    """
    done = PaintedFrames()
    for writer in writers:
        (folder / writer.name).mkdir(parents=True, exist_ok=True)
    painter = painter or Painter(predictor.class_list)
    stages = _FrameStages(predictor, folder, writers, frame_writers, smooth, painter)
    try:
        try:
            _run(stages, frames, done, on_done)
        except KeyboardInterrupt:
            done.interrupted = True
        counts = {writer.name: writer.finish() for writer in frame_writers}
    except BaseException:
        for frame_writer in frame_writers:
            frame_writer.discard()
        raise
    done.written.update({name: count for name, count in counts.items() if count is not None})
    done.flicker = stages.flicker
    return done


def _run(stages: "_FrameStages", frames: Frames, done: PaintedFrames, on_done: Callable[[int], None] | None) -> None:
    decoding, appending = Seconds(), Seconds()

    def decoded() -> Iterator[Frame]:
        begun = time.perf_counter()
        for frame in frames:
            decoding.reading += time.perf_counter() - begun
            yield frame
            begun = time.perf_counter()

    def append(frame: Frame, encoded: Sequence[Any]) -> None:
        begun = time.perf_counter()
        for writer, content in zip(stages.frame_writers, encoded, strict=True):
            writer.append(frame.path, frame.number, frame.seconds, content)
        appending.writing += time.perf_counter() - begun

    waiting: deque[Future[None]] = deque()
    areas: Counter[int] = Counter()
    try:
        with closing(in_background(decoded())) as coming, ThreadPoolExecutor(1) as pool:
            for frame, result in staged(coming, stages.read, stages.network, stages.write, done.seconds):
                if isinstance(result, UserError):
                    done.unreadable[str(frame.path)] = str(result)
                    continue
                waiting.append(pool.submit(append, frame, result.encoded))
                if len(waiting) > WAITING:
                    waiting.popleft().result()
                done.written.update(result.written.names)
                areas.update(dict(result.written.areas))
                done.frames += 1
                done.mean_areas = tuple(Area(number, share / done.frames) for number, share in areas.most_common())
                if on_done is not None:
                    on_done(done.frames)
            for future in waiting:
                future.result()
    finally:  # also of what Ctrl-C ends
        # Each of these has a thread of its own beside those that are counted already.
        done.seconds.reading = max(done.seconds.reading, decoding.reading)
        done.seconds.writing = max(done.seconds.writing, appending.writing)


class _Result(NamedTuple):
    """What was written of the frame alone, and what each of the frame writers made of it."""

    written: Written
    encoded: list[Any]


class _FrameStages(Stages):
    """What is done with each frame: smoothed, and one thing more written."""

    def __init__(
        self,
        predictor: Segmenter,
        folder: Path,
        writers: Sequence[Writer],
        frame_writers: Sequence[FrameWriter],
        smooth: float,
        painter: Painter,
    ) -> None:
        super().__init__(predictor, folder, writers, painter)
        self.frame_writers = frame_writers
        self._smoothing = Smoothing(smooth)
        self._own, self._smoothed = Flicker(), Flicker()

    @property
    def flicker(self) -> dict[str, float | None]:
        own = self._own if self._smoothing.weight else self._smoothed
        return {"before": own.share, "after": self._smoothed.share}

    def read(self, frame: Any) -> Read | UserError:
        if isinstance(frame.image, UserError):
            return frame.image
        return Read(frame.image, self.predictor.views(frame.image))

    def probabilities(self, read: Read) -> Tensor:
        own = super().probabilities(read)
        if self._smoothing.weight:
            self._own.see(self.predictor.decide(own)[0])
        return self._smoothing(own)

    def network(self, read: Read | UserError) -> Answer | UserError:
        answer = super().network(read)
        if isinstance(answer, Answer):
            self._smoothed.see(torch.from_numpy(answer.classes))
        return answer

    def write(self, frame: Any, answer: Answer | UserError) -> Any:
        if isinstance(answer, UserError):
            return answer
        prediction = Prediction(frame.path, *answer)
        encoded = [writer.encode(prediction) for writer in self.frame_writers]
        return _Result(self.written(prediction), encoded)
