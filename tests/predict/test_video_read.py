"""Frames of files, cameras and drives: their numbers, times and pictures, and what is said of broken ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segkit.errors import UserError
from segkit.predict import video_read
from segkit.predict.video_read import Camera, Frame, Frames, PictureFrames, VideoFile
from tests.fixtures import write_rgb
from tests.predict.videos import RATE, break_frames, grey, picture, write_video


def numbers(frames: Frames) -> list[int]:
    return [frame.number for frame in frames]


def said(frames: Frames) -> dict[int, str]:
    return {frame.number: str(frame.image) for frame in frames if isinstance(frame.image, UserError)}


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "VP90"), ("a.avi", "MJPG"), ("a.mp4", "mp4v")])
def test_every_frame_comes_in_order_at_its_time(tmp_path: Path, name: str, codec: str) -> None:
    video = VideoFile(write_video(tmp_path / name, codec=codec))
    assert (video.rate, video.total) == (RATE, 12)
    for _ in range(2):
        frames = list(video)
        assert [frame.number for frame in frames] == list(range(12))
        assert [frame.seconds for frame in frames] == pytest.approx([number / 10 for number in range(12)])
        assert [frame.path.name for frame in frames][:2] == ["a_000000.png", "a_000001.png"]
        for frame in frames:
            assert isinstance(frame.image, np.ndarray)
            assert frame.image.shape == (48, 64, 3)
            assert grey(frame.image) == frame.number
            assert frame.image[40, 32, 1] > 220  # RGB, not BGR: green
            assert frame.image[40, 32, 0] < 170


@pytest.mark.parametrize(
    ("stride", "start", "end", "chosen"),
    [
        (1, 0.5, None, [5, 6, 7, 8, 9, 10, 11]),
        (1, 0.0, 0.3, [0, 1, 2]),
        (3, 0.25, 1.0, [3, 6, 9]),
        (5, 0.0, 99.0, [0, 5, 10]),
    ],
)
def test_part_of_a_video_and_of_a_drive(
    tmp_path: Path, stride: int, start: float, end: float | None, chosen: list[int]
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(12)]
    for path in paths:
        write_rgb(path, picture(0))
    video = write_video(tmp_path / "a.avi")
    for frames in (VideoFile(video, stride, start, end), PictureFrames(paths, RATE, stride, start, end)):
        assert numbers(frames) == chosen
        assert frames.total == len(chosen)
        assert frames.rate == RATE / stride


def test_broken_frames_are_named_and_the_others_come(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi")
    break_frames(path, [0, 4, 5, 11])
    frames = list(VideoFile(path))
    assert [frame.number for frame in frames] == list(range(12))
    for frame in frames:
        if frame.number in (0, 4, 5, 11):
            assert str(frame.image) == f"{path}: frame {frame.number} at {frame.number / 10:.3f} s is broken"
        else:
            assert isinstance(frame.image, np.ndarray)
            assert grey(frame.image) == frame.number
    assert list(said(VideoFile(path, stride=2))) == [0, 4]
    assert list(said(VideoFile(path, start=0.5, end=1.0))) == [5]


def test_a_file_that_is_cut_off_says_so_after_its_last_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.webm", 24, "VP90")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    frames = list(VideoFile(path))
    assert 2 < len(frames) < 15
    assert all(not isinstance(frame.image, UserError) for frame in frames[:-1])
    last = frames[-2].seconds
    assert said(VideoFile(path)) == {frames[-1].number: f"{path}: ends after {last:.1f} of 2.4 s, it is cut off"}
    assert said(VideoFile(path, end=last)) == {}


def test_what_is_no_video_and_times_without_frames(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(UserError, match=r"^input=.*a\.mp4: is no video that can be read$"):
        VideoFile(tmp_path / "a.mp4")
    with pytest.raises(UserError, match=r"lasts 1\.1 s; start= and end= leave no frame of it"):
        VideoFile(write_video(tmp_path / "a.avi"), start=2)
    with pytest.raises(UserError, match="1 pictures at fps=10: start= and end= leave none of them"):
        PictureFrames([tmp_path / "a.png"], 10, start=1)


def test_a_picture_of_a_drive_that_cannot_be_read_is_an_error_in_its_place(tmp_path: Path) -> None:
    write_rgb(tmp_path / "a.png", picture(3))
    (tmp_path / "b.png").write_bytes(b"")
    first, second = PictureFrames([tmp_path / "a.png", tmp_path / "b.png"], 10)
    assert isinstance(first.image, np.ndarray)
    assert (grey(first.image), first.path) == (3, tmp_path / "a.png")
    assert second == Frame(1, 0.1, tmp_path / "b.png", second.image)
    assert str(second.image) == f"{tmp_path / 'b.png'} is empty"


class FakeCapture:
    """A camera that gives three pictures and is pulled out."""

    def __init__(self, *arguments: Any) -> None:
        self.left = 3

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def get(self, name: int) -> float:
        return 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return self.left >= 0, picture(2 - self.left)[..., ::-1] if self.left >= 0 else None

    def release(self) -> None:
        pass


def test_a_camera(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"^input=97: there is no camera 97, or another program has it$"):
        Camera(97)
    assert capfd.readouterr().err == ""  # OpenCV itself says much
    monkeypatch.setattr(video_read.cv2, "VideoCapture", FakeCapture)
    ticks = iter(range(100))
    monkeypatch.setattr(video_read.time, "monotonic", lambda: next(ticks) / 4)
    frames = list(Camera(0))
    assert [(frame.number, frame.seconds) for frame in frames] == [(0, 0.25), (1, 0.5), (2, 0.75), (3, 1.0)]
    assert [grey(frame.image) for frame in frames[:3] if isinstance(frame.image, np.ndarray)] == [0, 1, 2]
    assert str(frames[3].image) == "camera 0 gives no more frames"
    assert Camera(0).rate == 30
    assert numbers(Camera(0, end=0.75)) == [0, 1]
