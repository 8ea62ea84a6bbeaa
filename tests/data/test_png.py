import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.data import png
from segkit.data.images import decode_rgb

HERE = Path("a.png")


@pytest.fixture
def picture() -> np.ndarray:
    """BGR, neither flat nor noise alone, of a size that nothing divides."""
    noise = np.random.default_rng(0).integers(0, 256, (7, 11, 3), np.uint8)
    return cv2.resize(noise, (61, 37), interpolation=cv2.INTER_CUBIC)


def encoded(pixels: np.ndarray, filters: int = cv2.IMWRITE_PNG_FILTER_SUB) -> bytes:
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_FILTER, filters])[1].tobytes()


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def with_chunk(data: bytes, kind: bytes, content: bytes) -> bytes:
    end_of_header = len(png.SIGNATURE) + 25
    return data[:end_of_header] + chunk(kind, content) + data[end_of_header:]


def fast(data: bytes) -> np.ndarray | None:
    return png.rgb_pixels(png.chunks(data, HERE))


def by_opencv(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def test_rows_of_differences_give_opencvs_pixels(picture):
    pytest.importorskip("isal", reason="without it OpenCV decodes everything")
    for data in (encoded(picture), with_chunk(encoded(picture), b"tEXt", b"Comment\0on a Sunday")):
        pixels = fast(data)
        np.testing.assert_array_equal(pixels, picture[..., ::-1])
        np.testing.assert_array_equal(pixels, by_opencv(data))
        assert pixels.flags.writeable
        assert pixels.flags.c_contiguous


def test_other_kinds_are_left_to_opencv(picture):
    alpha = np.dstack([picture, picture[..., 0]])
    # Exif, big-endian, one entry: orientation (0x112, a short) 6 = turn by 90 degrees.
    turned = b"MM\0*\0\0\0\x08" + b"\0\1" + b"\x01\x12\0\3\0\0\0\1\0\6\0\0" + bytes(4)
    kinds = {
        "other filter": encoded(picture, cv2.IMWRITE_PNG_FILTER_PAETH),
        "mixed filters": encoded(picture, cv2.IMWRITE_PNG_ALL_FILTERS),
        "grey": encoded(picture[..., 0]),
        "alpha": encoded(alpha),
        "16 bits": encoded(picture.astype(np.uint16) * 257),
        "turned": with_chunk(encoded(picture), b"eXIf", turned),
    }
    for name, data in kinds.items():
        assert fast(data) is None, name
        np.testing.assert_array_equal(decode_rgb(data, HERE), by_opencv(data))
    assert decode_rgb(kinds["turned"], HERE).shape == (61, 37, 3)


@pytest.mark.parametrize("rows", [36, 38])
def test_more_or_fewer_rows_than_the_header_says_are_left_to_opencv(picture, rows):
    content = zlib.compress((b"\1" + bytes(61 * 3)) * rows)
    header = (61).to_bytes(4, "big") + (37).to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    data = png.SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    assert fast(data) is None


def test_a_stream_with_a_wrong_checksum_of_its_own_is_left_to_opencv(picture):
    content = bytearray(zlib.compress((b"\1" + bytes(61 * 3)) * 37))
    content[-1] ^= 1
    header = (61).to_bytes(4, "big") + (37).to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    data = png.SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", bytes(content)) + chunk(b"IEND", b"")
    assert fast(data) is None


def test_without_isal_everything_is_left_to_opencv(picture, monkeypatch):
    monkeypatch.setattr(png, "isal_zlib", None)
    assert fast(encoded(picture)) is None
    np.testing.assert_array_equal(decode_rgb(encoded(picture), HERE), picture[..., ::-1])


def test_kitti_is_of_the_kind_that_is_fast(shared_data: Path):
    pytest.importorskip("isal", reason="without it OpenCV decodes everything")
    for name in ("image_2/um_000000.png", "gt_image_2/um_road_000000.png"):
        data = (shared_data / "kitti_road/training" / name).read_bytes()
        np.testing.assert_array_equal(fast(data), by_opencv(data))
