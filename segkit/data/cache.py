"""Decoded and resized pictures on disk, found by content: shared by workers, processes and runs, and never stale."""

import errno
import fcntl
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from segkit.data.checks import SIZES, PictureError
from segkit.data.images import MAX_MEGAPIXELS, decode_rgb, read_bytes, resize_image
from segkit.data.memory import keep_freed_memory
from segkit.data.picture_input import Resize, resized_shape
from segkit.data.records import IGNORE_INDEX, Record
from segkit.errors import UserError
from segkit.runs.regular import open_regular

FORMAT = 1
"""Part of every key: raise it when decoding, resizing or the layout of an entry changes."""

TEMPORARY = re.compile(r"[0-9a-f]{32}\w*\.[0-9a-f]{32}\.segkit")
"""The names of files that are being written: nobody else's file is taken for one."""

ABANDONED_AFTER = 3600.0
"""Seconds after which a temporary file is taken for one that a killed run left behind, where files have no locks."""


@dataclass(frozen=True)
class Entry:
    """Where a record's arrays lie.

    ``pixels``: uint8 (H, W, 4) after ``data.resize``, RGB and the label. ``own_label``, for evaluation only: the label
    uint8 (H0, W0) at the picture's own size, or for an unlabelled picture that size alone, int64 (2,).
    """

    record: Record
    pixels: Path
    own_label: Path | None


class PictureCache:
    """A folder of ``.npy`` files, each named by a hash of the file contents and of all settings that shaped it.

    Other files in the folder are left alone. Pictures are stored at ``resize``.
    ``decode_label(data, path)`` gives class ids uint8 (H0, W0) with 255 for unscored; ``label_settings`` names
    everything but the file's content that its result depends on.
    """

    def __init__(
        self,
        folder: Path,
        resize: Resize,
        label_settings: str,
        decode_label: Callable[[bytes, Path], NDArray[np.uint8]],
        max_megapixels: float = MAX_MEGAPIXELS,
    ) -> None:
        self.folder, self.resize = folder, resize
        self.label_settings, self.decode_label = label_settings, decode_label
        self.max_megapixels = max_megapixels

    def open(self) -> None:
        """Create the folder, remove what killed runs left half-written, and make ready to fill.

        Raises:
            UserError: the folder cannot be written.
        """
        keep_freed_memory()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.iterdir():
                if TEMPORARY.fullmatch(path.name) and _abandoned(path):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def check_room(self, count: int) -> None:
        """Refuse ``count`` pictures that the disk has no room for, as far as their size at ``resize`` is known.

        Raises:
            UserError: with the estimate.
        """
        if not isinstance(self.resize, tuple):
            return
        needed, free = count * 4 * math.prod(self.resize), shutil.disk_usage(self.folder).free
        if needed <= free:
            return
        there = sum(path.stat().st_size for path in self.folder.glob("*.npy"))  # may be these already
        if needed > free + there:
            raise UserError(
                f"data.cache_dir={self.folder}: {count} pictures of {self.resize[0]}×{self.resize[1]} take "
                f"{needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free. "
                "Free some space or set data.cache_dir elsewhere."
            )

    def fill(self, record: Record, evaluation: bool) -> Entry:
        """Make sure that the record's arrays are there, and check its files while decoding them.

        Raises:
            PictureError: a file cannot be decoded, the label has impossible values or not the image's size.
            UserError: the entry cannot be written.
        """
        image = read_bytes(record.image, self.max_megapixels)
        label = read_bytes(record.label, self.max_megapixels) if record.label else None
        entry = self._entry(record, image, label, evaluation)
        if self._own_there(entry) and self._fits(entry_shape(entry.pixels)):
            return entry
        rgb = decode_rgb(image, record.image)
        height, width = rgb.shape[:2]
        if record.label is None or label is None:
            own = np.full((height, width), IGNORE_INDEX, np.uint8)
        else:
            own = self.decode_label(label, record.label)
            if own.shape != (height, width):
                sizes = f"is {own.shape[1]}×{own.shape[0]}, its image {width}×{height}"
                raise PictureError(SIZES, record.label, sizes)
        self._write(entry.pixels, resized(rgb, own, resized_shape((height, width), self.resize)))
        if entry.own_label:
            self._write(entry.own_label, own if record.label else np.array(own.shape, np.int64))
        return entry

    def kept(self, name: str, compute: Callable[[], NDArray], shape: tuple[int, ...]) -> NDArray:
        """The array ``name``, int64 of ``shape``, computed where it is not there yet.

        Raises:
            UserError: it cannot be written.
        """
        path = self.folder / f"{name}.npy"
        if entry_shape(path, np.int64) != shape:
            self._write(path, compute())
        return load(path)

    def _own_there(self, entry: Entry) -> bool:
        if entry.own_label is None:
            return True
        if entry.record.label is None:
            return entry_shape(entry.own_label, np.int64) == (2,)
        return len(entry_shape(entry.own_label) or ()) == 2

    def _fits(self, shape: tuple[int, ...] | None) -> bool:
        """Whether an entry's shape is one that ``resize`` can give."""
        if isinstance(self.resize, tuple):
            return shape == (*self.resize, 4)
        return shape is not None and len(shape) == 3 and shape[2] == 4

    def _entry(self, record: Record, image: bytes, label: bytes | None, evaluation: bool) -> Entry:
        settings = self.label_settings if label is not None else None
        content = blake2b(repr((FORMAT, settings, len(image), label and len(label))).encode(), digest_size=16)
        content.update(image)
        content.update(label or b"")
        own_label = self.folder / f"{content.hexdigest()}_own.npy" if evaluation else None
        content.update(repr(self.resize).encode())
        return Entry(record, self.folder / f"{content.hexdigest()}.npy", own_label)

    def _write(self, path: Path, array: NDArray) -> None:
        # Its own header, but not np.save, which hides the reason when writing to a full disk fails.
        content = np.ascontiguousarray(array)
        header = np.lib.format.header_data_from_array_1_0(content)
        temporary = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.segkit")
        try:
            with temporary.open("xb") as file:
                with suppress(OSError):  # see _abandoned; not every file system has locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                np.lib.format.write_array_header_1_0(file, header)
                file.write(content.data)
                file.flush()
                os.replace(temporary, path)
        except FileNotFoundError:
            if not self.folder.is_dir():
                raise UserError(f"{self.folder} was removed during the run: start the run again.") from None
            self._write(path, array)  # another process took it for a leftover before it was locked
        except IsADirectoryError as error:
            raise UserError(f"data.cache_dir={self.folder}: {path.name} there is a folder; remove it") from error
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> UserError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        reason = f"no room ({error.strerror})" if full else error.strerror
        return UserError(f"data.cache_dir={self.folder}: {reason}. Free some space or set data.cache_dir elsewhere.")


def _abandoned(path: Path) -> bool:
    """Whether nobody is writing a temporary file any more: who does so has it locked, until it is done or dead."""
    try:
        with open_regular(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return path.exists() and time.time() - path.stat().st_mtime > ABANDONED_AFTER
    return True


def resized(rgb: NDArray[np.uint8], label: NDArray[np.uint8], image_shape: tuple[int, int]) -> NDArray[np.uint8]:
    """RGB and label as one uint8 (H, W, 4) at ``image_shape``; every label pixel is one of the label's own."""
    height, width = image_shape
    # The exact variant takes the pixel at the centre; OpenCV's plain one lies up to half a source step off.
    classes = cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    both = np.empty((height, width, 4), np.uint8)
    cv2.mixChannels([resize_image(rgb, image_shape), classes], [both], [0, 0, 1, 1, 2, 2, 3, 3])
    return both


def load(path: Path) -> NDArray:
    """An entry's array.

    Raises:
        UserError: the entry has gone since ``fill``, or is no longer whole.
    """
    again = "during the run: start the run again."
    try:
        with open_regular(path) as file:
            found = _read_header(file)
            if found is not None:
                shape, kind = found
                array = np.fromfile(file, kind, math.prod(shape))
                if array.size == math.prod(shape):
                    return array.reshape(shape)
    except FileNotFoundError as error:
        raise UserError(f"{path} was removed from data.cache_dir {again}") from error
    raise UserError(f"{path} was damaged {again}")


HEADER = re.compile(rb"\{'descr': '(\|u1|<i8)', 'fortran_order': False, 'shape': \((\d{1,9}(?:, \d{1,9})*),?\), \} *\n")


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype] | None:
    """Shape and kind of an entry whose array comes next in ``file``; None if there is something else.

    numpy's own reader parses a header as Python, and Python 3.11 cannot parse in two threads at once (CPython issue
    106905): pictures are read by threads while kernels are compiled.
    """
    if file.read(8) != np.lib.format.magic(1, 0):
        return None
    found = HEADER.fullmatch(file.read(int.from_bytes(file.read(2), "little")))
    return found and (tuple(map(int, found[2].split(b","))), np.dtype(found[1].decode()))


def entry_shape(path: Path, dtype: type[np.generic] = np.uint8) -> tuple[int, ...] | None:
    """Shape of a whole entry of ``dtype``; ``None`` if it is missing, cut off or something else."""
    try:
        with open_regular(path) as file:
            found = _read_header(file)
            if found is None:
                return None
            shape, kind = found
            whole = file.tell() + math.prod(shape) * kind.itemsize == os.fstat(file.fileno()).st_size
    except OSError:
        return None
    return shape if whole and kind == dtype else None
