"""``segkit predict`` on what moves: a video file, a camera, the pictures of a drive."""

import logging
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from segkit.console import progress_bar
from segkit.errors import UserError
from segkit.predict.inputs import find_pictures, find_video, is_camera

if TYPE_CHECKING:
    from segkit.data.overlay import Painter
    from segkit.predict.predictor import Segmenter
    from segkit.predict.video import PaintedFrames
    from segkit.predict.video_read import Frames
    from segkit.road.writers import Calibrations

PICTURES = ["overlay", "mask", "confidence"]
OF_PICTURES = ("sheet", "submission", "cityscapes")
"""Formats that are of pictures alone."""
KITTI_FPS = 10.0

log = logging.getLogger(__name__)


def formats_of(settings: dict[str, Any]) -> list[str]:
    """``format`` as a list; ``auto`` is a video of what moves, else overlay, mask and confidence."""
    given = settings["format"]
    if given == "auto":
        return ["video"] if _moves(str(settings["input"])) else PICTURES
    return given if isinstance(given, list) else [given]


def are_frames(settings: dict[str, Any], formats: Sequence[str]) -> bool:
    """Whether ``input`` is read as frames: videos and cameras are, and pictures that are to make a video.

    Raises:
        UserError: settings that are for the other.
    """
    moves = _moves(str(settings["input"]))
    if moves or "video" in formats:
        wrong = [name for name in OF_PICTURES if name in formats]
        if wrong:
            raise UserError(f"format={wrong[0]}: is of pictures, and these are frames")
        if moves and settings["fps"] is not None:
            raise UserError(f"fps={settings['fps']:g}: is for a drive's pictures; {settings['input']} has its own")
        return True
    usual = {"smooth": 0, "stride": 1, "start": 0, "end": None, "fps": None}
    for key, value in usual.items():
        if settings[key] != value:
            raise UserError(
                f"{key}={settings[key]:g}: is for frames; give a video, or format=video for a drive's pictures"
            )
    return False


class Moving(NamedTuple):
    """The frames of ``input``, their files (a video's one), and what the files written of each are called, where that
    is not as theirs: see :func:`segkit.predict.outputs.claim`."""

    frames: "Frames"
    files: list[Path]
    stems: list[str] | None = None


def open_frames(settings: dict[str, Any]) -> Moving:
    """Find and open ``input``.

    Raises:
        UserError: no such file or camera, no frame between ``start`` and ``end``, or PyAV is missing.
    """
    from segkit.predict.outputs import any_number
    from segkit.predict.video_read import Camera, PictureFrames, VideoFile
    from segkit.predict.video_write import check_container

    check_container(settings["container"])
    place = str(settings["input"])
    span = settings["stride"], settings["start"], settings["end"]
    if is_camera(place):
        name = f"camera{int(place)}"
        return Moving(Camera(int(place), *span), [Path(name)], [any_number(name)])
    video = find_video(place)
    if video is not None:
        return Moving(VideoFile(video, *span), [video], [any_number(video.stem)])
    pictures = find_pictures(place)
    most = settings["data"]["max_megapixels"]
    return Moving(PictureFrames(pictures, settings["fps"] or KITTI_FPS, *span, most), pictures)


def paint(
    settings: dict[str, Any],
    formats: Sequence[str],
    moving: Moving,
    calibrations: "Calibrations",
    predictor: "Segmenter",
    painter: "Painter",
    checkpoints: Sequence[str],
    folder: Path,
) -> "tuple[PaintedFrames, dict[str, Any]]":
    """Paint frames into ``folder``; what came of them, and what ``result.json`` says of them alone."""
    from segkit.predict.outputs import claim
    from segkit.predict.predictor import check_complete
    from segkit.predict.video import PaintedVideo, paint_frames
    from segkit.predict.video_write import VideoWriter
    from segkit.predict.writers import Overlay, writers_of
    from segkit.road.frames import OneCalibration, RoadTable
    from segkit.road.writers import BirdsEye, Metres, RoadOverlay

    frames, files, stems = moving
    place = str(settings["input"])
    if stems is not None:
        calibrations = OneCalibration(files[0], calibrations[files[0]])
    metres = Metres(predictor.class_list, calibrations)
    overlay = RoadOverlay(metres) if metres.known else Overlay()
    if "bev" in formats and not metres.known:
        raise UserError("format=bev: needs the camera's calibration; give calibration=<file>")
    if settings["smooth"]:
        check_complete(predictor, "smooth: frames cannot be averaged")
    own = [overlay, BirdsEye(metres)] if metres.known else [overlay]
    writers = writers_of(formats, [writer for writer in own if writer.name in formats])
    frame_writers: list[Any] = [RoadTable(metres, folder)] if metres.known else []
    video = None
    if "video" in formats:
        sound = find_video(place)
        video = VideoWriter(folder / f"video.{settings['container']}", frames.rate, sound, settings["end"])
        frame_writers.append(PaintedVideo(video, overlay.picture))
    claim(folder, writers, files, checkpoints, frame_writers, stems)
    with progress_bar() as bar:
        row = bar.add_task("painting", total=frames.total, note="")
        times: deque[float] = deque([time.monotonic()], maxlen=50)

        def on_done(count: int) -> None:
            times.append(time.monotonic())
            pace = (len(times) - 1) / max(times[-1] - times[0], 1e-9)
            bar.update(row, completed=count, note=f"{pace:.1f} frames/s")

        painted = paint_frames(predictor, frames, folder, writers, frame_writers, settings["smooth"], on_done, painter)
    if video is not None and video.sound_lost:
        log.warning(
            "the sound (%s) does not go into .%s, so the video has none", video.sound_lost, settings["container"]
        )
    _say_flicker(painted, settings["smooth"])
    if painted.interrupted:
        log.warning("interrupted: what is written ends after %d frames", painted.frames)
    return painted, {
        "frames": painted.frames,
        "rate": round(frames.rate, 3),
        "areas": {"mean": painter.shares(painted.mean_areas)},
        "smooth": settings["smooth"],
        "flicker": painted.flicker,
        "interrupted": painted.interrupted,
    }


def _say_flicker(painted: "PaintedFrames", smooth: float) -> None:
    before, after = painted.flicker["before"], painted.flicker["after"]
    if before is None or after is None:
        return
    then = f", {100 * after:.2f} % with smooth={smooth:g}" if smooth else ""
    log.info("flicker: %.2f %% of the pixels change their class from frame to frame%s", 100 * before, then)


def _moves(place: str) -> bool:
    return is_camera(place) or find_video(place) is not None
