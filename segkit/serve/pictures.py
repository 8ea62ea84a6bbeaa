"""Pictures of the run's own data set to try the network on, where that lies on this machine."""

import io
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import cv2
from PIL import Image

from segkit.config.instantiate import build
from segkit.data.images import decode_image
from segkit.data.module import SegmentationDataModule
from segkit.data.records import evenly
from segkit.errors import UserError

MOST = 24
THUMBNAIL = (240, 150)
"""Width and height that a small picture fits in."""

KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "MPO": "image/jpeg", "WEBP": "image/webp", "BMP": "image/bmp"}


class TestPicture(NamedTuple):
    """A picture that the network was not trained on; ``calibration`` is its camera's file."""

    name: str
    path: Path
    calibration: Path | None


def find_test_pictures(data: dict[str, Any] | None, trust: Collection[str]) -> tuple[list[TestPicture], str]:
    """Some of the test pictures of a run's data set, or of its validation pictures where it has no others.

    Args:
        data: the settings ``data`` of the run; None = they are not known.
        trust: modules whose classes may be built.

    Returns:
        The pictures, evenly chosen, and why there are none.
    """
    if data is None:
        return [], "the checkpoint lies in no run folder"
    if "://" in str(data.get("root")):
        return [], f"the run's data is at {data['root']}"
    try:
        own = {key: value for key, value in data.items() if key != "augment"}
        module: SegmentationDataModule = build("data", own, SegmentationDataModule, allowed=tuple(trust))
        records = module.records("test") or module.records("val")
    except (UserError, OSError) as error:
        return [], str(error).splitlines()[0]
    return [TestPicture(one.name, one.image, one.extra.get("calibration")) for one in evenly(records, MOST)], ""


def thumbnail(path: Path) -> bytes:
    """A small JPEG."""
    picture = decode_image(path)
    factor = min(THUMBNAIL[0] / picture.shape[1], THUMBNAIL[1] / picture.shape[0], 1.0)
    size = max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def for_browsers(path: Path) -> tuple[bytes, str]:
    """The file as it is, and its media type; as PNG where browsers do not know its format."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as opened:
        kind = KINDS.get(opened.format or "")
    if kind is None:
        content, kind = cv2.imencode(".png", decode_image(path)[..., ::-1])[1].tobytes(), "image/png"
    return content, kind
