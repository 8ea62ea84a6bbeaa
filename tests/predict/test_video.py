"""Frames painted: in order, a bounded number at once, and whole files whatever ends it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segkit.data.ahead import IN_BACKGROUND, in_background
from segkit.data.records import SegmentationClass
from segkit.data.writer import FrameWriter, Prediction
from segkit.errors import UserError
from segkit.predict.predictor import Segmenter
from segkit.predict.video import WAITING, PaintedFrames, PaintedVideo, paint_frames
from segkit.predict.video_read import Frame, PictureFrames, VideoFile
from segkit.predict.video_write import VideoWriter
from segkit.predict.writers import writers_of
from tests.predict.videos import break_frames, grey, picture, write_video


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("segkit.data.ahead", "segkit.predict.pipeline"):
        monkeypatch.setattr(f"{module}.cores", lambda: 2)


class Bright(Segmenter):
    """Road is where a picture is green; of every other picture the answer is turned round where ``flickers``."""

    class_list = (SegmentationClass("background", None, background=True), SegmentationClass("road", (0, 255, 0)))

    def __init__(self, flickers: bool = False) -> None:
        self.flickers, self.count = flickers, 0

    def views(self, picture: np.ndarray) -> list[np.ndarray]:
        return [picture]

    def probabilities_at(self, views: Sequence[np.ndarray], size: tuple[int, int]) -> torch.Tensor:
        road = torch.from_numpy(0.1 + 0.8 * (views[0][..., 1] > 250))
        self.count += 1
        if self.flickers and self.count % 2 == 0:
            road = 1 - road
        return torch.stack([1 - road, road]).float()


class Many:
    """Frames that are made while they are asked for, and counted."""

    rate, total = 10.0, 400

    def __init__(self) -> None:
        self.made = 0

    def __iter__(self) -> Iterator[Frame]:
        for number in range(self.total):
            self.made += 1
            yield Frame(number, number / 10, Path(f"many_{number:06d}.png"), picture(number % 20, (16, 24)))


class Recorder(FrameWriter):
    name, files = "recorder", ("recorder.txt",)

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.ended: list[str] = []

    def encode(self, prediction: Prediction) -> str:
        return prediction.path.stem

    def append(self, path: Path, number: int, seconds: float, encoded: Any) -> None:
        assert (path.stem, seconds) == (encoded, number / 10)
        self.numbers.append(number)

    def finish(self) -> int | None:
        self.ended.append("finished")
        return len(self.numbers)

    def discard(self) -> None:
        self.ended.append("discarded")


def test_in_background_keeps_the_order_hands_errors_on_and_is_a_few_ahead() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number
        raise OSError("at the end")

    taken = []
    with pytest.raises(OSError, match="at the end"):  # noqa: PT012
        for number in in_background(numbers()):
            taken.append(number)
            assert len(made) - len(taken) <= IN_BACKGROUND
    assert taken == list(range(50))


def test_frames_come_in_order_and_few_are_in_memory(tmp_path: Path) -> None:
    frames, recorder, ahead = Many(), Recorder(), []

    def on_done(count: int) -> None:
        ahead.append(frames.made - len(recorder.numbers))

    done = paint_frames(Bright(), frames, tmp_path, [], [recorder], on_done=on_done)
    assert recorder.numbers == list(range(400))
    assert recorder.ended == ["finished"]
    assert (done.frames, done.written, done.unreadable, done.interrupted) == (400, {"recorder": 400}, {}, False)
    # Two cores: five frames are read ahead, five computed ones are being written.
    assert max(ahead) <= IN_BACKGROUND + 5 + 5 + WAITING + 3


def painted(video: Path, folder: Path, formats: Sequence[str] = (), **more: Any) -> PaintedFrames:
    frames = VideoFile(video)
    writer = VideoWriter(folder / "video.webm", frames.rate)
    painter = PaintedVideo(writer, lambda prediction: prediction.painted)
    return paint_frames(more.pop("network", Bright()), frames, folder, writers_of(formats), [painter], **more)


def test_a_painted_video_and_files_of_its_frames(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi")
    break_frames(video, [4, 5])
    done = painted(video, tmp_path, ["mask", "overlay"])
    assert done.written == {"mask": 10, "overlay": 10, "video": 10}
    assert done.frames == 10
    assert list(done.unreadable.values()) == [f"{video}: frame {n} at 0.{n}00 s is broken" for n in (4, 5)]
    names = [f"a_{number:06d}.png" for number in range(12) if number not in (4, 5)]
    assert sorted(path.name for path in (tmp_path / "mask").iterdir()) == names
    assert sorted(path.name for path in (tmp_path / "overlay").iterdir()) == names
    frames = list(VideoFile(tmp_path / "video.webm"))
    # For the broken ones that before them stands, so that the video lasts as long.
    assert [grey(frame.image) for frame in frames if isinstance(frame.image, np.ndarray)] == [
        *(0, 1, 2, 3, 3, 3),
        *range(6, 12),
    ]
    first = frames[0].image
    assert isinstance(first, np.ndarray)
    assert abs(int(first[40, 30, 0]) - 10) < 12  # half of the picture's 20, half of the class's green
    assert done.flicker == {"before": 0.0, "after": 0.0}


def test_smoothing_stops_flicker_and_both_are_measured(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi")
    done = painted(video, tmp_path, network=Bright(flickers=True), smooth=0.9)
    assert done.flicker == {"before": 1.0, "after": 0.0}
    done = painted(video, tmp_path, network=Bright(flickers=True))
    assert done.flicker == {"before": 1.0, "after": 1.0}


def raising(error: BaseException) -> Callable[[int], None]:
    def on_done(count: int) -> None:
        if count == 6:
            raise error

    return on_done


def test_what_is_painted_until_ctrl_c_is_a_whole_video(tmp_path: Path) -> None:
    done = painted(write_video(tmp_path / "a.avi"), tmp_path, on_done=raising(KeyboardInterrupt()))
    assert (done.interrupted, done.frames, done.written) == (True, 6, {"video": 6})
    assert [frame.number for frame in VideoFile(tmp_path / "video.webm")] == list(range(6))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.avi", "video.webm"]


def test_any_other_end_leaves_no_video(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"):
        painted(write_video(tmp_path / "a.avi"), tmp_path, on_done=raising(OSError("full")))
    assert [path.name for path in tmp_path.iterdir()] == ["a.avi"]


def test_an_error_while_it_is_appended_is_raised_here(tmp_path: Path) -> None:
    class Full(Recorder):
        def append(self, path: Path, number: int, seconds: float, encoded: Any) -> None:
            if number == 7:
                raise OSError("no space")
            super().append(path, number, seconds, encoded)

    recorder = Full()
    with pytest.raises(OSError, match="no space"):
        paint_frames(Bright(), Many(), tmp_path, [], [recorder])
    assert recorder.numbers[:7] == list(range(7))
    assert len(recorder.numbers) < 30
    assert recorder.ended == ["discarded"]


def test_no_frame_that_can_be_read_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    writer = VideoWriter(tmp_path / "video.webm", 10)
    video = PaintedVideo(writer, lambda prediction: prediction.painted)
    done = paint_frames(Bright(), PictureFrames([tmp_path / "a.png"], 10), tmp_path, [], [video])
    assert (done.frames, done.written) == (0, {})
    assert done.flicker == {"before": None, "after": None}
    assert isinstance(next(iter(PictureFrames([tmp_path / "a.png"], 10))).image, UserError)
    assert not (tmp_path / "video.webm").exists()
