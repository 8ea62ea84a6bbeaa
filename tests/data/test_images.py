import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.data.images import decode_image, resize_image
from segkit.data.png import SIGNATURE
from segkit.errors import UserError
from tests.fixtures import write_rgb


@pytest.fixture
def picture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    return cv2.resize(noise, (45, 30), interpolation=cv2.INTER_CUBIC)


def encoded(ending: str, pixels: np.ndarray) -> bytes:
    return cv2.imencode(ending, pixels)[1].tobytes()


def test_channels_come_in_the_order_rgb(tmp_path, picture):
    write_rgb(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png"), picture)


def test_other_kinds_of_pictures_become_8_bit_rgb(tmp_path):
    grey = np.array([[0, 100], [200, 255]], np.uint8)
    deep = grey.astype(np.uint16) * 257
    alpha = np.dstack([grey, grey, grey, np.zeros_like(grey)])
    for name, pixels in {"grey": grey, "deep": deep, "alpha": alpha}.items():
        (tmp_path / name).write_bytes(encoded(".png", pixels))
        decoded = decode_image(tmp_path / name)
        assert decoded.dtype == np.uint8
        np.testing.assert_array_equal(decoded, np.dstack([grey] * 3))


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, picture, ending):
    whole = encoded(ending, picture)
    path = tmp_path / f"cut{ending}"
    for length in {0, 1, 7, 20, len(whole) // 2, len(whole) - 20, len(whole) - 2, len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=f"cut{ending}"):
            decode_image(path)
    path.write_bytes(whole)
    assert decode_image(path).shape == (30, 45, 3)


def test_every_flipped_byte_of_a_png_is_noticed(tmp_path, picture):
    whole = encoded(".png", picture)
    path = tmp_path / "flipped.png"
    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 0x55
        path.write_bytes(bytes(damaged))
        with pytest.raises(UserError, match=r"flipped\.png"):
            decode_image(path)


def test_a_png_whose_sound_chunks_hold_too_few_rows_is_an_error(tmp_path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = (8).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    for rows, sound in ((8, True), (5, False)):
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(9 * rows))), (b"IEND", b"")]
        (tmp_path / "few.png").write_bytes(SIGNATURE + b"".join(chunk(*c) for c in chunks))
        if sound:
            assert decode_image(tmp_path / "few.png").shape == (8, 8, 3)
        else:
            with pytest.raises(UserError, match=r"few\.png"):
                decode_image(tmp_path / "few.png")


def test_what_is_no_picture_is_an_error(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    for path in (tmp_path / "text.png", tmp_path / "missing.png", tmp_path):
        with pytest.raises(UserError, match=path.name):
            decode_image(path)


def test_shrinking_averages_and_growing_interpolates():
    halves = np.zeros((4, 4, 3), np.uint8)
    halves[::2] = 200
    np.testing.assert_array_equal(resize_image(halves, (2, 2)), np.full((2, 2, 3), 100))
    assert resize_image(halves, (8, 3)).shape == (8, 3, 3)


def test_real_pictures_have_their_documented_sizes(shared_data: Path):
    assert decode_image(shared_data / "kitti_road/training/image_2/um_000000.png").shape == (375, 1242, 3)
    assert decode_image(next((shared_data / "camvid/val").glob("*.png"))).shape == (360, 480, 3)
