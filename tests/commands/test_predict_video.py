"""``segkit predict`` on videos, drives and cameras, from files to files."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segkit.errors import UserError
from segkit.predict.video_read import Frame, VideoFile
from segkit.scenes.generate import generate_scenes
from tests.commands.test_predict import predict, write_checkpoint
from tests.fixtures import level_camera, write_raw_calibration, write_rgb
from tests.predict.videos import break_frames, picture, write_video


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "best.ckpt")


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of a generated drive of four frames, with a calibration each."""
    root = tmp_path_factory.mktemp("drive") / "root"
    generate_scenes(root, (1, 0), seed=3, drive=4, workers=1)
    return root / "training" / "image_2"


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "road.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_video_becomes_a_video(checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = write_video(tmp_path / "drive.avi")
    with caplog.at_level("INFO"):
        result = predict(checkpoint, video, tmp_path / "out", format="auto", smooth=0.5)
    assert names(tmp_path / "out") == {".lock", ".files.json", "result.json", "video.webm"}
    assert (result["format"], result["frames"], result["rate"]) == (["video"], 12, 10)
    assert (result["written"], result["unreadable"], result["interrupted"]) == ({"video": 12}, {}, False)
    before, after = result["flicker"]["before"], result["flicker"]["after"]
    assert 0 <= after <= before <= 1
    line = f"flicker: {100 * before:.2f} % of the pixels change their class from frame to frame"
    assert f"{line}, {100 * after:.2f} % with smooth=0.5" in caplog.messages
    painted = VideoFile(tmp_path / "out" / "video.webm")
    assert (painted.rate, painted.total) == (10, 12)


def test_part_of_a_video_as_files_of_its_frames(checkpoint: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "my.drive.avi")
    more: dict[str, Any] = {"stride": 2, "start": 0.4, "end": 1.0, "format": ["video", "mask"]}
    for _ in range(2):  # the second time over the first one's files
        result = predict(checkpoint, video, tmp_path / "out", **more)
        assert (result["frames"], result["rate"]) == (3, 5)
        assert names(tmp_path / "out" / "mask") == {f"my.drive_00000{number}.png" for number in (4, 6, 8)}
    assert VideoFile(tmp_path / "out" / "video.webm").rate == 5


def test_broken_frames_are_named_and_the_exit_code_says_so(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = write_video(tmp_path / "drive.avi")
    break_frames(video, [3, 7])
    with pytest.raises(SystemExit) as end:
        predict(checkpoint, video, tmp_path / "out", format=["video"])
    assert end.value.code == 1
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    reasons = [f"{video}: frame {number} at 0.{number}00 s is broken" for number in (3, 7)]
    assert list(result["unreadable"].values()) == reasons
    assert result["frames"] == 10
    assert [f"skipped: {reason}" for reason in reasons] == [m for m in caplog.messages if m.startswith("skipped")]
    assert VideoFile(tmp_path / "out" / "video.webm").total == 12


def test_ctrl_c_ends_a_video_that_plays(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = VideoFile.__iter__

    def stopped(self: VideoFile) -> Iterator[Frame]:
        for frame in whole(self):
            if frame.number == 11:
                raise KeyboardInterrupt
            yield frame

    video = write_video(tmp_path / "drive.avi")
    with monkeypatch.context() as patched:
        for module in ("segkit.data.ahead", "segkit.predict.pipeline"):
            patched.setattr(f"{module}.cores", lambda: 1)
        patched.setattr(VideoFile, "__iter__", stopped)
        with pytest.raises(SystemExit) as end:
            predict(checkpoint, video, tmp_path / "out", format=["video"])
    assert end.value.code == 130
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["interrupted"]
    assert 0 < result["frames"] < 12
    assert VideoFile(tmp_path / "out" / "video.webm").total == result["written"]["video"] == result["frames"]
    assert f"interrupted: what is written ends after {result['frames']} frames" in caplog.messages


def test_a_drives_pictures_become_a_video_with_metres(checkpoint: Path, drive: Path, tmp_path: Path) -> None:
    result = predict(checkpoint, drive, tmp_path / "out", format=["video", "overlay", "bev"], fps=4.0)
    assert result["written"] == {"video": 4, "overlay": 4, "bev": 4, "road": 4}
    stems = {f"um_00000{number}.png" for number in range(4)}
    assert names(tmp_path / "out" / "overlay") == names(tmp_path / "out" / "bev") == stems
    assert VideoFile(tmp_path / "out" / "video.webm").rate == 4
    table = rows(tmp_path / "out")
    assert [(row["frame"], row["seconds"]) for row in table] == [
        ("0", "0.000"),
        ("1", "0.250"),
        ("2", "0.500"),
        ("3", "0.750"),
    ]
    # The same metres as those of the pictures, one by one.
    predict(checkpoint, drive, tmp_path / "pictures", format=["overlay"])
    known = json.loads((tmp_path / "pictures" / "road.json").read_text())["pictures"]
    for row, free in zip(table, known.values(), strict=True):
        assert float(row["free_ahead_m"]) == free["free_ahead_m"]
        assert row["free_ahead_at_least"] == str(free["free_ahead_at_least"]).lower()
        assert float(row["free_area_m2"]) == free["free_area_m2"]
        for distance, width in free["width_m"].items():
            assert row[f"width_{distance}_m"] == ("" if width is None else str(width))
    for name in stems:
        assert (tmp_path / "out" / "overlay" / name).read_bytes() == (
            tmp_path / "pictures" / "overlay" / name
        ).read_bytes()


def test_kittis_raw_recordings_have_their_days_calibration(checkpoint: Path, tmp_path: Path) -> None:
    day = tmp_path / "2011_09_26"
    data = day / "2011_09_26_drive_0001_sync" / "image_02" / "data"
    for number in range(3):
        write_rgb(data / f"{number:010d}.png", picture(number, (38, 124)))
    write_raw_calibration(day / "calib_cam_to_cam.txt")
    result = predict(checkpoint, data, tmp_path / "out", format=["video"])
    assert result["written"] == {"video": 3, "road": 3}
    assert [row["seconds"] for row in rows(tmp_path / "out")] == ["0.000", "0.100", "0.200"]
    assert all(row["free_ahead_m"] for row in rows(tmp_path / "out"))


def test_one_calibration_for_all_frames_of_a_video(checkpoint: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "drive.avi", 3, size=(38, 124))
    assert "road" not in predict(checkpoint, video, tmp_path / "bare", format=["video"])["written"]
    assert not (tmp_path / "bare" / "road.csv").exists()
    (tmp_path / "mine.txt").write_text(level_camera(72, (62, 19), 1.65).text())
    result = predict(checkpoint, video, tmp_path / "out", format=["video"], calibration=str(tmp_path / "mine.txt"))
    assert result["written"] == {"video": 3, "road": 3}
    assert len(rows(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"format": ["video", "sheet"]}, "format=sheet: is of pictures, and these are frames"),
        ({"fps": 25.0}, r"fps=25: is for a drive's pictures; .*drive\.avi has its own"),
        ({"start": 5.0}, "lasts 1.1 s; start= and end= leave no frame of it"),
        ({"start": 0.5, "end": 0.2}, "start= and end= leave no frame of it"),
        ({"format": ["video", "bev"]}, "format=bev: needs the camera's calibration"),
        ({"smooth": 1.0}, "smooth=1.0: should be less than 1"),
        ({"stride": 0}, "stride=0: should be greater than 0"),
        ({"container": "avi"}, "container=avi: should be 'webm' or 'mp4'"),
    ],
)
def test_wrong_settings_for_a_video(checkpoint: Path, tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    video = write_video(tmp_path / "drive.avi")
    with pytest.raises(UserError, match=said):
        predict(checkpoint, video, tmp_path / "out", **{"format": ["video"], **settings})
    assert not (tmp_path / "out").exists() or names(tmp_path / "out") == {".lock"}


@pytest.mark.parametrize("settings", [{"smooth": 0.5}, {"stride": 2}, {"start": 1.0}, {"end": 1.0}, {"fps": 5.0}])
def test_settings_of_frames_are_not_for_pictures(checkpoint: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    write_rgb(tmp_path / "in" / "a.png", picture(0))
    (key,) = settings
    with pytest.raises(UserError, match=rf"^{key}=.*: is for frames; give a video, or format=video"):
        predict(checkpoint, tmp_path / "in", tmp_path / "out", **settings)


def test_no_such_video_and_no_such_camera(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^input=.*nothing\.mp4: no such file$"):
        predict(checkpoint, tmp_path / "nothing.mp4", tmp_path / "out")
    with pytest.raises(UserError, match=r"^input=97: there is no camera 97"):
        predict(checkpoint, 97, tmp_path / "out")


def test_neither_the_video_nor_files_of_others_are_written_over(checkpoint: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.webm", 4, "VP90")
    before = video.read_bytes()
    with pytest.raises(UserError, match=r"video\.webm is one of the pictures of input=, which lie in it"):
        predict(checkpoint, video, tmp_path, format=["video"])
    assert video.read_bytes() == before
    mine = tmp_path / "out" / "mask" / "video_000002.png"
    write_rgb(mine, np.zeros((2, 2), np.uint8))
    with pytest.raises(UserError, match=r"mask/video_000002\.png is there, and not known to be segkit's"):
        predict(checkpoint, video, tmp_path / "out", format=["mask"])
    assert names(tmp_path / "out") == {".lock", "mask"}
