"""Videos written: what they hold, how long each picture stands, their sound, and that none is there half."""

from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segkit.errors import UserError
from segkit.predict import video_write
from segkit.predict.video_read import VideoFile
from segkit.predict.video_write import VideoWriter, check_container
from tests.predict.videos import grey, picture

needs_av = pytest.mark.skipif(find_spec("av") is None, reason="PyAV is not installed (the extra video)")


@pytest.fixture(params=["opencv", pytest.param("pyav", marks=needs_av)])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "opencv":
        monkeypatch.setattr(video_write, "find_spec", lambda name: None)
    return str(request.param)


def written(path: Path, times: list[float], rate: float = 10, **more: Any) -> VideoWriter:
    writer = VideoWriter(path, rate, **more)
    for number, seconds in enumerate(times):
        writer.add(picture(number), seconds)
    assert writer.close()
    return writer


def shown(path: Path) -> list[int]:
    """The numbers of the pictures that a video shows."""
    return [grey(frame.image) for frame in VideoFile(path) if isinstance(frame.image, np.ndarray)]


def test_a_video_is_there_once_it_is_complete(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "a.webm"
    writer = VideoWriter(path, 12.5)
    for number in range(8):
        writer.add(picture(number, (37, 51)), 3 + number / 12.5)
        assert not path.exists()
    assert writer.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.webm"]
    assert VideoFile(path).rate == 12.5
    assert shown(path) == list(range(8))
    for frame in VideoFile(path):  # an odd picture gets a row and a column more
        assert isinstance(frame.image, np.ndarray)
        assert frame.image.shape == (38, 52, 3)
        assert np.abs(frame.image[30:, :, 1].astype(int) - 255).max() < 25


def test_what_writes_chooses_the_codec(tmp_path: Path, backend: str) -> None:
    written(tmp_path / "a.webm", [0, 0.1])
    codec = int(cv2.VideoCapture(str(tmp_path / "a.webm")).get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
    assert codec == {"opencv": b"VP80", "pyav": b"VP90"}[backend]


def test_a_picture_stands_until_the_next_ones_time(tmp_path: Path, backend: str) -> None:
    written(tmp_path / "a.webm", [5.0, 5.1, 5.4, 5.44, 5.5, 5.6])
    assert shown(tmp_path / "a.webm") == [0, 1, 1, 1, 2, 4, 5]
    written(tmp_path / "b.webm", [0.0, 1e9, 1e9 + 0.1])
    assert len(shown(tmp_path / "b.webm")) < 250


def test_pictures_that_come_faster_than_the_rate_keep_their_time(tmp_path: Path) -> None:
    fast, slow = [number / 60 for number in range(12)], [0.2 + number / 10 for number in range(4)]
    written(tmp_path / "a.webm", [*fast, *slow], rate=20)
    numbers = shown(tmp_path / "a.webm")
    assert len(numbers) == 11  # 0.5 s and the last one
    assert all(abs(numbers.index(12 + number) - (4 + 2 * number)) <= 1 for number in range(4))  # of 1/20 s


def test_pictures_of_another_size_are_shown_at_the_first_ones(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.webm", 10)
    writer.add(picture(1), 0)
    writer.add(picture(2, (96, 128)), 0.1)
    assert writer.close()
    assert shown(tmp_path / "a.webm") == [1, 2]


def test_nothing_to_show_is_no_file_and_what_is_discarded_is_gone(tmp_path: Path, backend: str) -> None:
    assert not VideoWriter(tmp_path / "a.webm", 10).close()
    writer = VideoWriter(tmp_path / "a.webm", 10)
    writer.discard()
    writer.add(picture(0), 0)
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_is_not_whole_is_no_video(tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_write, "packet_times", lambda path: [0.0])  # as a full disk leaves it
    with pytest.raises(UserError, match=r"a\.webm: only 1 of 3 pictures could be written; is the disk full\?"):
        written(tmp_path / "a.webm", [0, 0.1, 0.2])
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_nothing_can_be_written(tmp_path: Path, backend: str) -> None:
    writer = VideoWriter(tmp_path / "nothing" / "a.webm", 10)
    with pytest.raises((UserError, FileNotFoundError)):  # noqa: PT012 - PyAV says it when it has a packet
        writer.add(picture(0), 0)
        writer.close()
    writer.discard()


@needs_av
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".a.part.webm").symlink_to("/dev/full")
    monkeypatch.setattr(video_write, "create", lambda path: None)  # which would put a file in the link's place
    writer = VideoWriter(tmp_path / "a.webm", 10)
    with pytest.raises(OSError, match="No space left on device"):  # noqa: PT012
        for number in range(200):
            writer.add(np.random.default_rng(number).integers(0, 256, (96, 128, 3), np.uint8), number / 10)
        writer.close()
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_h264_needs_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_write, "find_spec", lambda name: None)
    check_container("webm")
    with pytest.raises(UserError, match=r"^container=mp4 needs PyAV: pip install -e '\.\[video\]'"):
        check_container("mp4")


@needs_av
def test_h264_as_every_player_knows_it(tmp_path: Path) -> None:
    import av

    check_container("mp4")
    written(tmp_path / "a.mp4", [number / 29.97 for number in range(9)], Fraction(30000, 1001))
    assert shown(tmp_path / "a.mp4") == list(range(9))
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == Fraction(30000, 1001)


def write_sound(path: Path, codec: str, seconds: int = 3) -> Path:
    """A video with a tone."""
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264" if path.suffix == ".mp4" else "libvpx-vp9", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate=48000)
        for number in range(10 * seconds):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture(number % 20), "rgb24")))
        container.mux(video.encode())
        tone = np.sin(np.arange(48000 * seconds) * 2 * np.pi * 440 / 48000)[None].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
        frame.sample_rate, frame.pts = 48000, 0
        resampler = av.AudioResampler(sound.format, sound.layout, 48000, sound.frame_size)
        for part in resampler.resample(frame):
            container.mux(sound.encode(part))
        container.mux(sound.encode())
    return path


def sound_of(path: Path) -> tuple[str, float, float] | None:
    """Codec, first and last second of a file's sound."""
    import av

    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        packets = [packet for packet in container.demux(audio=0) if packet.pts is not None]
        times = [float(packet.pts * packet.time_base) for packet in packets]
        return container.streams.audio[0].codec_context.name, times[0], times[-1]


@needs_av
@pytest.mark.parametrize(
    ("source", "codec", "name", "kept"),
    [
        ("s.mp4", "aac", "a.mp4", "aac"),
        ("s.webm", "libopus", "a.webm", "opus"),
        ("s.webm", "libopus", "a.mp4", "opus"),
        ("s.mp4", "aac", "a.webm", None),
    ],
)
def test_sound_is_kept_where_the_container_takes_it(
    tmp_path: Path, source: str, codec: str, name: str, kept: str | None
) -> None:
    sound = write_sound(tmp_path / source, codec)
    whole = written(tmp_path / name, [number / 10 for number in range(20)], sound=sound)
    assert whole.sound_lost == (None if kept else "aac")
    found = sound_of(tmp_path / name)
    assert len(shown(tmp_path / name)) == 20
    if kept is None:
        assert found is None
        return
    assert found is not None
    assert found[0] == kept
    assert abs(found[1]) < 0.05
    assert 1.9 < found[2] <= 2.05
    # Of a part it is that part's: from its beginning, and no longer.
    written(tmp_path / name, [1.5, 1.6, 1.7], sound=sound, end=1.8)
    found = sound_of(tmp_path / name)
    assert found is not None
    assert 0 <= found[1] < 0.05
    assert found[2] < 0.3


@needs_av
def test_a_silent_video_stays_silent(tmp_path: Path) -> None:
    silent = written(tmp_path / "silent.webm", [0.0, 0.1]).path
    assert written(tmp_path / "a.webm", [0.0, 0.1], sound=silent).sound_lost is None
    assert sound_of(tmp_path / "a.webm") is None
