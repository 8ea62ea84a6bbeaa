"""PNG files held against their checksums, and a fast way to the pixels of the most usual kind.

KITTI's pictures and labels, generated scenes, and what OpenCV writes store each value as its difference to the one of
the pixel to the left. Summing rows up is then all that is to be done after unpacking, for which ISA-L needs less than
half the time of the zlib within OpenCV.
"""

import zlib
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.data.checks import UNREADABLE, PictureError

# There is no wheel for some processors; OpenCV decodes what ``rgb_pixels`` does not.
isal_zlib: Any = import_module("isal.isal_zlib") if find_spec("isal") else None

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_crc32 = isal_zlib.crc32 if isal_zlib else zlib.crc32

# 8 bits per value, RGB, the only ways of compressing and filtering that there are, not interlaced.
_PLAIN_RGB = bytes([8, 2, 0, 0, 0])
_LEFT = 1

# Kinds of chunks that change nothing about the pixels; how a picture is to be turned, for one, would stand in another.
_KNOWN = {b"IDAT", b"IEND", b"tEXt", b"tIME", b"pHYs"}


Chunk = tuple[bytes, memoryview]
"""Kind and content."""


def chunks(data: bytes, path: Path) -> list[Chunk]:
    """The chunks up to IEND of a file's content, each held against its checksum; ``path`` is for the error alone.

    Older OpenCV gives a truncated PNG back as a picture with a grey or black rest; libpng's own complaint goes to
    the console without the file's name.

    Raises:
        PictureError: the file is truncated or damaged.
    """
    view = memoryview(data)
    position, kind = len(SIGNATURE), b""
    found = []
    while kind != b"IEND":
        start = position + 8
        end = start + int.from_bytes(view[position : position + 4], "big")
        if end + 4 > len(data):
            raise PictureError(UNREADABLE, path, f"is truncated: it ends after {len(data)} bytes")
        if _crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise PictureError(UNREADABLE, path, f"is damaged: a checksum is wrong at byte {position}")
        kind = data[position + 4 : start]
        found.append((kind, view[start:end]))
        position = end + 4
    return found


def rgb_pixels(found: Sequence[Chunk]) -> NDArray[np.uint8] | None:
    """RGB uint8 (H, W, 3) of a PNG of 8-bit RGB, all of whose rows are differences to the left.

    None = it is another kind of PNG, holds other than its header says, or ISA-L is not there.
    """
    (first, header), *others = found
    strange = {kind for kind, _ in others} - _KNOWN
    if isal_zlib is None or first != b"IHDR" or header[8:] != _PLAIN_RGB or strange:
        return None
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    size = height * (1 + 3 * width)
    unpacker = isal_zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(b"".join(content for kind, content in others if kind == b"IDAT"), size)
    except isal_zlib.error:
        return None
    if len(unpacked) != size or size == 0 or not unpacker.eof:
        return None
    rows = np.frombuffer(unpacked, np.uint8).reshape(height, 1 + 3 * width)
    if not (rows[:, 0] == _LEFT).all():
        return None
    return np.cumsum(rows[:, 1:].reshape(height, width, 3), axis=1, dtype=np.uint8)
