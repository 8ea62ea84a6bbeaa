"""From a picture file to pixels: the whole picture, or an error that names the file."""

import io
import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segkit.data import png
from segkit.data.checks import UNREADABLE, PictureError

PALETTE = 3
"""PNG's colour type of pictures whose values are indices of a palette."""


class PngHeader(NamedTuple):
    """What a PNG says about itself before its pixels: size in pixels, bits per value, and the format's colour type
    (0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha)."""

    width: int
    height: int
    depth: int
    colour_type: int


def png_header(path: Path) -> PngHeader:
    """Read a PNG's header; the rest of the file is not looked at.

    Raises:
        PictureError: the file cannot be read, is no PNG, or its header is cut off or damaged.
    """
    try:
        with path.open("rb") as file:
            start = file.read(33)  # signature, then the chunk IHDR: length, kind, 13 bytes of content, checksum
    except OSError as error:
        raise PictureError(UNREADABLE, path, f"cannot be read: {error.strerror}") from error
    if not start.startswith(png.SIGNATURE):
        raise PictureError(UNREADABLE, path, "is no PNG")
    if len(start) < 33 or start[12:16] != b"IHDR" or zlib.crc32(start[12:29]) != int.from_bytes(start[29:], "big"):
        raise PictureError(UNREADABLE, path, "has a damaged header")
    width, height = (int.from_bytes(start[position : position + 4], "big") for position in (16, 20))
    return PngHeader(width, height, start[24], start[25])


def decode_image(path: Path) -> NDArray[np.uint8]:
    """Read any picture that OpenCV knows as RGB, uint8 (H, W, 3), 0…255.

    Grey becomes three equal channels, 16 bit are scaled to 8, an alpha channel is dropped, and a camera's
    orientation mark is obeyed: (H, W) is the size as a viewer shows it.

    Raises:
        PictureError: the file is missing, empty, truncated, damaged or no picture.
    """
    return decode_rgb(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """The file's content.

    Raises:
        PictureError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureError(UNREADABLE, path, f"cannot be read: {error.strerror}") from error


def decode_rgb(data: bytes, path: Path) -> NDArray[np.uint8]:
    """As ``decode_image``, from the file's content; ``path`` is for the error alone."""
    return _decode(data, path, cv2.IMREAD_COLOR_RGB)


def decode_values(data: bytes, path: Path) -> NDArray[np.generic]:
    """The stored values as they are: (H, W) for one channel, else (H, W, channels) in OpenCV's order BGR(A).

    Of a palette PNG these are the palette's indices, uint8 (H, W).
    """
    if data.startswith(png.SIGNATURE) and data[25:26] == bytes([PALETTE]):
        png.chunks(data, path)
        try:
            return np.array(Image.open(io.BytesIO(data)))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise PictureError(UNREADABLE, path, f"cannot be decoded: {error}") from error
    return _decode(data, path, cv2.IMREAD_UNCHANGED)


def resize_image(image: NDArray[np.uint8], image_shape: tuple[int, int]) -> NDArray[np.uint8]:
    """RGB uint8 (H0, W0, 3) at ``image_shape`` (height, width): the mean over areas where the picture shrinks in both
    directions, else bilinear."""
    height, width = image_shape
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # type: ignore[return-value]


def _decode(data: bytes, path: Path, flags: int) -> NDArray:
    if not data:
        raise PictureError(UNREADABLE, path, "is empty")
    if data.startswith(png.SIGNATURE):
        chunks = png.chunks(data, path)
        rgb = png.rgb_pixels(chunks) if flags == cv2.IMREAD_COLOR_RGB else None
        if rgb is not None:
            return rgb
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise PictureError(UNREADABLE, path, f"cannot be decoded: {error.err}") from error
    if pixels is None:
        raise PictureError(UNREADABLE, path, "is no picture, or is truncated or damaged")
    return pixels
