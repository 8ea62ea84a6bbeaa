"""From a picture file to pixels: the whole picture, or an error that names the file."""

import io
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segkit.data import png
from segkit.data.checks import UNREADABLE, PictureError
from segkit.runs.regular import open_regular, read_regular

MAX_MEGAPIXELS = 50.0
"""The default of ``data.max_megapixels``: more than cameras of cars give, and decoded 150 MB."""

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""Pillow's names of the formats that are read."""

LARGEST_PIXEL = 16
"""Bytes of a pixel in a file: four channels of 32 bits."""

HEADERS = 1 << 24
"""Bytes that a picture's file may have beside its pixels."""

# What Pillow and OpenCV think of a damaged or large file they say in lines of their own, without the file's name.
warnings.filterwarnings("ignore", module=r"PIL\.")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

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
        with open_regular(path) as file:
            start = file.read(33)  # signature, then the chunk IHDR: length, kind, 13 bytes of content, checksum
    except OSError as error:
        raise PictureError(UNREADABLE, path, f"cannot be read: {error.strerror}") from error
    if not start.startswith(png.SIGNATURE):
        raise PictureError(UNREADABLE, path, "is no PNG")
    if len(start) < 33 or start[12:16] != b"IHDR" or zlib.crc32(start[12:29]) != int.from_bytes(start[29:], "big"):
        raise PictureError(UNREADABLE, path, "has a damaged header")
    width, height = (int.from_bytes(start[position : position + 4], "big") for position in (16, 20))
    return PngHeader(width, height, start[24], start[25])


def decode_image(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """Read any picture that OpenCV knows as RGB, uint8 (H, W, 3), 0…255.

    Grey becomes three equal channels, 16 bit are scaled to 8, an alpha channel is dropped, and a camera's
    orientation mark is obeyed: (H, W) is the size as a viewer shows it.

    Raises:
        PictureError: the file is missing, empty, truncated, damaged, too large or no picture.
    """
    return decode_rgb(read_bytes(path, max_megapixels), path)


def read_bytes(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> bytes:
    """The content of a picture's file, which is safe to decode: of so many megapixels at most, by its header.

    Raises:
        PictureError: it cannot be read, is no regular file, no picture, or larger.
    """
    most = int(max_megapixels * 1e6)
    try:
        data = read_regular(path, LARGEST_PIXEL * most + HEADERS)
    except OSError as error:
        raise PictureError(UNREADABLE, path, f"cannot be read: {error.strerror}") from error
    width, height = picture_size(data, path)
    if width * height > most:
        size = f"{width}×{height}, {width * height / 1e6:.1f} megapixels"
        raise PictureError(UNREADABLE, path, f"is {size}; data.max_megapixels={max_megapixels:g} are the most")
    return data


def picture_size(data: bytes, path: Path) -> tuple[int, int]:
    """Width and height in pixels as the header of a picture's file says; ``path`` is for the error alone.

    Raises:
        PictureError: it is no picture of a format that is read.
    """
    if not data:
        raise PictureError(UNREADABLE, path, "is empty")
    if data[4:8] == b"ftyp":
        raise PictureError(UNREADABLE, path, "is HEIC or AVIF, which is not read; save it as JPEG")
    width, height = 0, 0
    if data.startswith(png.SIGNATURE):
        width, height = (int.from_bytes(data[position : position + 4], "big") for position in (16, 20))
    else:
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                width, height = opened.size
        except Image.DecompressionBombError as error:
            raise PictureError(
                UNREADABLE, path, "has more than 178 megapixels; data.max_megapixels goes to 170"
            ) from error
        except Exception as error:  # of a damaged header, Pillow raises whatever it stumbles over
            raise PictureError(UNREADABLE, path, "is no picture, or is truncated or damaged") from error
    if width < 1 or height < 1:
        raise PictureError(UNREADABLE, path, "is no picture, or is truncated or damaged")
    return width, height


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
