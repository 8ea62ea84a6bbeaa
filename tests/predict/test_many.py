"""Many pictures, and many frames: how many are in memory at a time, and which stage is said to be the slowest."""

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segkit.data.ahead import IN_BACKGROUND
from segkit.data.records import SegmentationClass
from segkit.data.writer import FrameWriter, Prediction, Writer
from segkit.predict import writers
from segkit.predict.pipeline import Seconds, staged
from segkit.predict.predictor import Segmenter
from segkit.predict.video import WAITING, PaintedFrames, paint_frames
from segkit.predict.video_read import Frame
from segkit.predict.writers import paint_pictures

MANY = 120
AT_A_TIME = 2 * 5 + 3
"""Of two cores: five read ahead, five being written, one in each pair of hands."""

Passes = Callable[[str], None]


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("segkit.data.ahead", "segkit.predict.pipeline"):
        monkeypatch.setattr(f"{module}.cores", lambda: 2)


class Held:
    """Counts pictures that are in memory."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def picture(self, number: int = 0) -> np.ndarray:
        image = np.full((8, 12, 3), number % 256, np.uint8)
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        weakref.finalize(image, self._gone)
        return image

    def _gone(self) -> None:
        with self._lock:
            self.now -= 1


class Halves(Segmenter):
    """Both classes are as probable."""

    class_list = (SegmentationClass("background", None, background=True), SegmentationClass("road", (0, 255, 0)))

    def __init__(self, passes: Passes = lambda stage: None) -> None:
        self.passes = passes

    def views(self, picture: np.ndarray) -> list[np.ndarray]:
        return [picture]

    def probabilities_at(self, views: Sequence[np.ndarray], size: tuple[int, int]) -> torch.Tensor:
        self.passes("network")
        return torch.full((2, *size), 0.5)


class Said(Writer):
    """Writes the picture's name."""

    name = "said"

    def __init__(self, passes: Passes = lambda stage: None) -> None:
        self.passes = passes

    def encode(self, prediction: Prediction) -> bytes:
        self.passes("writing")
        return prediction.path.stem.encode()


class Appended(FrameWriter):
    """Keeps nothing of what it is given."""

    name, files = "appended", ()

    def __init__(self, passes: Passes = lambda stage: None) -> None:
        self.passes, self.count = passes, 0

    def encode(self, prediction: Prediction) -> np.ndarray:
        return prediction.image

    def append(self, path: Path, number: int, seconds: float, encoded: Any) -> None:
        self.passes("appending")
        self.count += 1

    def finish(self) -> int | None:
        return self.count

    def discard(self) -> None:
        pass


class Drive:
    """Frames that are made while they are asked for."""

    rate, total = 10.0, MANY

    def __init__(self, held: Held, passes: Passes = lambda stage: None) -> None:
        self.held, self.passes = held, passes

    def __iter__(self) -> Iterator[Frame]:
        for number in range(self.total):
            self.passes("decoding")
            yield Frame(number, number / self.rate, Path(f"f_{number:06d}.png"), self.held.picture(number))


# ---- how many at a time ----


def test_a_writer_that_is_slow_keeps_others_from_being_read() -> None:
    """The first one is written when all that may wait for it are there."""
    held, full = Held(), threading.Event()
    computed = 0

    def network(image: np.ndarray) -> np.ndarray:
        nonlocal computed
        computed += 1
        if computed == 5:
            full.set()
        return image

    def write(item: int, image: np.ndarray) -> None:
        assert full.wait(10)

    for _ in staged(range(MANY), held.picture, network, write, Seconds()):
        pass
    assert 5 <= held.most <= AT_A_TIME
    assert held.now == 0


def test_pictures_are_let_go_of_once_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    monkeypatch.setattr(writers, "decode_image", lambda path, most: held.picture())
    paths = [Path(f"{number:06d}.png") for number in range(MANY)]
    done = paint_pictures(Halves(), paths, tmp_path, [Said()])
    assert done.written == {"said": MANY}
    assert held.most <= AT_A_TIME
    assert held.now == 0


def test_frames_are_let_go_of_once_they_are_written(tmp_path: Path) -> None:
    held = Held()
    done = paint_frames(Halves(), Drive(held), tmp_path, [Said()], [Appended()])
    assert done.written == {"said": MANY, "appended": MANY}
    assert held.most <= AT_A_TIME + IN_BACKGROUND + WAITING + 2
    assert held.now == 0


# ---- which is the slowest ----


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Passes]:
    """A second of a thread passes where a stage says that one does, a hundred in the slow one, and none elsewhere."""
    own = threading.local()
    monkeypatch.setattr("time.perf_counter", lambda: getattr(own, "now", 0.0))

    def slow_in(slow: str) -> Passes:
        def passes(stage: str) -> None:
            own.now = getattr(own, "now", 0.0) + (100 if stage == slow else 1)

        return passes

    return slow_in


@pytest.mark.parametrize("slow", ["reading", "network", "writing"])
def test_the_slowest_stage_of_pictures_is_named(
    slow: str, clock: Callable[[str], Passes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = clock(slow)

    def decode(path: Path, most: float) -> np.ndarray:
        passes("reading")
        return np.zeros((8, 12, 3), np.uint8)

    monkeypatch.setattr(writers, "decode_image", decode)
    paths = [Path(f"{number}.png") for number in range(10)]
    seconds = paint_pictures(Halves(passes), paths, tmp_path, [Said(passes)]).seconds
    assert seconds.slowest == slow
    # Two threads read and two write; the network has one.
    expected = {"reading": 5.0, "network": 10.0, "writing": 5.0}
    expected[slow] *= 100
    assert {name: getattr(seconds, name) for name in expected} == pytest.approx(expected)
    assert str(seconds).endswith(f"slowest: {slow}")


SLOWEST = {
    "decoding": ("reading", 100 * MANY),  # one thread decodes
    "network": ("network", 100 * MANY),
    "writing": ("writing", 50 * MANY),  # two write files of each frame
    "appending": ("writing", 100 * MANY),  # one the file of all
}


@pytest.mark.parametrize("slow", SLOWEST)
def test_the_slowest_stage_of_frames_is_named(slow: str, clock: Callable[[str], Passes], tmp_path: Path) -> None:
    passes = clock(slow)
    done = paint_frames(Halves(passes), Drive(Held(), passes), tmp_path, [Said(passes)], [Appended(passes)])
    stage, took = SLOWEST[slow]
    assert done.seconds.slowest == stage
    assert getattr(done.seconds, stage) == pytest.approx(took)


@pytest.mark.parametrize("slow", ["decoding", "appending"])
def test_it_is_named_too_of_what_ctrl_c_has_ended(slow: str, clock: Callable[[str], Passes], tmp_path: Path) -> None:
    def on_done(count: int) -> None:
        if count == 20:
            raise KeyboardInterrupt

    passes = clock(slow)
    done: PaintedFrames = paint_frames(
        Halves(passes), Drive(Held(), passes), tmp_path, [Said(passes)], [Appended(passes)], on_done=on_done
    )
    assert (done.interrupted, done.frames) == (True, 20)
    assert done.seconds.slowest == SLOWEST[slow][0]
