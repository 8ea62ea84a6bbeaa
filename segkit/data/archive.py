"""Safe extraction of zip archives that come from elsewhere: everything is examined before the first byte is written."""

import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from segkit.errors import UserError

CHUNK = 1 << 18
LARGEST_RATIO = 100
LARGEST_UNQUESTIONED = 1 << 30

Progress = Callable[[int, int | None], None]
"""Called with the bytes done so far and the bytes in all (``None`` while unknown)."""

# Everything that zipfile raises on bytes that are not the archive they claim to be (ValueError: undecodable names).
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError)


class ArchiveError(UserError):
    """The archive itself is unfit: another copy may help, a freed disk would not."""


def extract(archive: Path, into: Path, on_progress: Progress | None = None) -> None:
    """Extract a zip archive into the folder ``into``, which is created and has to be new or empty.

    Nothing is written before the whole archive has been found sound: its entries are files and folders that stay
    inside ``into``, each once, none encrypted; its size is credible and fits on the disk; and every entry unpacks to
    its checksum. Entries are therefore read twice, and ``on_progress`` counts both readings. An interrupted
    extraction leaves what it had written: the caller decides what a whole tree is.

    Raises:
        ArchiveError: the archive is no zip file, damaged or hostile.
        UserError: it cannot be read, does not fit on the disk, or the folder cannot be written.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UserError(f"{into} is not an empty folder: {archive} is extracted into a new one only.")
    try:
        with _opened(archive) as source:
            entries = source.infolist()
            _examine_entries(archive, entries)
            _examine_size(archive, entries, into)
            progress = _Counter(2 * sum(entry.file_size for entry in entries), on_progress)
            for entry in entries:
                for chunk in _unpacked(archive, source, entry):
                    progress.add(len(chunk))
            into.mkdir(parents=True, exist_ok=True)
            for entry in entries:
                target = into / PurePosixPath(entry.filename)
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    for chunk in _unpacked(archive, source, entry):
                        file.write(chunk)
                        progress.add(len(chunk))
    except OSError as error:
        raise UserError(
            f"{archive} could not be extracted into {into}: {error}. Make room or set its permissions."
        ) from error


def readable_size(size: int) -> str:
    """``size`` in bytes as people read it: ``"999 B"``, ``"1.5 MB"`` (powers of 1000)."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 1000:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


class _Counter:
    """Adds up bytes and passes the sum on."""

    def __init__(self, total: int, on_progress: Progress | None) -> None:
        self.done, self.total, self.on_progress = 0, total, on_progress

    def add(self, size: int) -> None:
        self.done += size
        if self.on_progress:
            self.on_progress(self.done, self.total)


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except _DAMAGE as error:
        with archive.open("rb") as file:
            head = file.read(60)
        size = readable_size(archive.stat().st_size)
        if head.startswith(b"PK\x03\x04"):
            raise ArchiveError(
                f"{archive} is incomplete or damaged: {size} of a zip file without its index."
            ) from error
        found = f"{size} that begin with {head.decode('ascii', 'replace')!r}" if head else "an empty file"
        raise ArchiveError(f"{archive} is not a zip file: {found}.") from error


def _unpacked(archive: Path, source: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The entry's content in pieces; zipfile compares the checksum at the end and never gives more than announced."""
    if entry.is_dir():
        return
    try:
        with source.open(entry) as packed:
            received = 0
            while chunk := packed.read(CHUNK):
                received += len(chunk)
                yield chunk
        if received != entry.file_size:
            raise EOFError(f"{received} of {entry.file_size} bytes")
    except _DAMAGE as error:
        raise ArchiveError(f"{archive}: entry {entry.filename!r} is damaged ({error}).") from error


def _examine_entries(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for entry in entries:
        flaw = _flaw(entry)
        # Case folding: on some file systems the second of two such files would replace the first.
        key = str(PurePosixPath(entry.filename)).casefold()
        if flaw is None and key in seen:
            flaw = "is there twice (upper and lower case count as the same)"
        if flaw:
            raise ArchiveError(f"{archive}: entry {entry.orig_filename!r} {flaw}; nothing was extracted.")
        seen.add(key)
    folders = {str(parent).casefold() for entry in entries for parent in PurePosixPath(entry.filename).parents}
    for entry in entries:
        if not entry.is_dir() and str(PurePosixPath(entry.filename)).casefold() in folders:
            raise ArchiveError(
                f"{archive}: entry {entry.filename!r} is both a file and a folder; nothing was extracted."
            )


def _flaw(entry: zipfile.ZipInfo) -> str | None:
    """What forbids extracting the entry, as the end of a sentence; ``None`` for an ordinary file or folder."""
    # orig_filename: zipfile cuts the other one at a NUL, and what is examined has to be all of it.
    name = entry.orig_filename
    kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the packer recorded no Unix mode
    if name.startswith("/"):
        return "has an absolute path"
    if "\\" in name or re.match(r"[A-Za-z]:", name):
        return "has a drive letter or a backslash in its path"
    if ".." in name.split("/"):
        return "leaves the folder by '..'"
    if "\0" in name or not PurePosixPath(name).parts:
        return "has no usable name"
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR and not entry.is_dir()):
        return "is neither a regular file nor a folder"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is packed by method {entry.compress_type}, where only stored and deflated entries are read"
    return None


def _examine_size(archive: Path, entries: list[zipfile.ZipInfo], into: Path) -> None:
    total, packed = sum(entry.file_size for entry in entries), archive.stat().st_size
    if total > LARGEST_UNQUESTIONED and total > LARGEST_RATIO * packed:
        raise ArchiveError(
            f"{archive}: {readable_size(packed)} would unpack to {readable_size(total)}, more than {LARGEST_RATIO} "
            "times its size: this is no ordinary archive, nothing was extracted."
        )
    existing = next(folder for folder in (into, *into.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if total > free:
        raise UserError(
            f"{archive} unpacks to {readable_size(total)}, and {existing} has {readable_size(free)} free: "
            "free the difference or choose another disk by data.root."
        )
