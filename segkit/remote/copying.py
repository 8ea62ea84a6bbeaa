"""Copying many files, or a few large ones, side by side, so that a copy that was cut off goes on where it ended.

A file appears under its name once it is whole. Which are, and which pieces of the others, stands in a journal, a JSON
line each, with the size and ETag that they had there: a file that has changed since then is copied anew.
"""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from segkit.console import progress_bar
from segkit.data.archive import readable_size
from segkit.errors import UserError
from segkit.remote.address import BrokenOff, Entry, Store

PIECE = 16 << 20
"""Bytes that are asked for at once of a large file."""

THREADS = 16
ATTEMPTS = 5

_BEGUN = -1
"""Stands in the journal in the place of a piece's number where a file is begun from nothing: pieces that it has had
before are void."""

RETRY_DELAY = 0.5
"""Seconds before a piece is asked for again; doubled before each further time."""


def copy(store: Store, entries: Sequence[Entry], tree: Path, setting: str) -> None:
    """Make the folder ``tree`` hold exactly ``entries``.

    What a copy needs besides lies beside it: ``parts/`` and ``journal``. One process at a time may call it.

    Raises:
        UserError: naming the ``setting``: not enough room, a disk that cannot be written, a file that has changed
            meanwhile, a server that does not answer.
    """
    try:
        tree.mkdir(parents=True, exist_ok=True)
        with closing(_Journal(tree.parent / "journal")) as journal:
            _remove_others(tree, journal, {entry.name for entry in entries})
            missing = [entry for entry in entries if not _is_here(entry, tree, journal)]
            files = [_File(entry, tree, journal) for entry in missing]
            needed = sum(file.missing for file in files)
            free = shutil.disk_usage(tree).free
            if needed > free:
                raise UserError(
                    f"{setting}: {readable_size(needed)} are to be copied, and {tree.parent} has {readable_size(free)} "
                    "free; make room, or set SEGKIT_CACHE to a folder on another disk"
                )
            with progress_bar() as bar:
                row = bar.add_task(f"copying {setting.partition('=')[2]}", total=needed, note="bytes")
                _copy_pieces(store, files, lambda size: bar.advance(row, size), setting)
            shutil.rmtree(tree.parent / "parts", ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{setting}: could not be copied into {tree.parent}: {error.strerror or error}. Make room there, or set "
            "SEGKIT_CACHE to a folder on another disk; the same command goes on with the rest"
        ) from error


class _Journal:
    """What has been copied, in memory and on the disk: ``whole`` files, and the ``pieces`` of unfinished ones."""

    def __init__(self, path: Path) -> None:
        self.whole: dict[str, tuple[int, str]] = {}
        self.pieces: dict[tuple[str, int, str], set[int]] = {}
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        for line in lines:
            try:
                self._take(*json.loads(line))
            except (ValueError, TypeError):  # a line that a kill has cut off
                continue
        self._file = path.open("a", encoding="utf-8")
        if lines:
            self._file.write("\n")  # after half a line
        self._lock = threading.Lock()

    def _take(self, name: str, size: int, tag: str, piece: int | None) -> None:
        if piece is None:
            self.whole[name] = (size, tag)
        elif piece == _BEGUN:
            self.pieces[name, size, tag] = set()
        else:
            self.pieces.setdefault((name, size, tag), set()).add(piece)

    def close(self) -> None:
        self._file.close()

    def add(self, entry: Entry, piece: int | None = None) -> None:
        with self._lock:
            self._take(entry.name, entry.size, entry.tag, piece)
            self._file.write(json.dumps([entry.name, entry.size, entry.tag, piece]) + "\n")
            self._file.flush()


def _is_here(entry: Entry, tree: Path, journal: _Journal) -> bool:
    path = tree / entry.name
    same = journal.whole.get(entry.name) == (entry.size, entry.tag)
    return same and path.is_file() and path.stat().st_size == entry.size


def _remove_others(tree: Path, journal: _Journal, names: set[str]) -> None:
    """Remove copies of what is no longer there, and folders that are empty then: a file may take their names."""
    for name in [name for name in journal.whole if name not in names and (tree / name).is_file()]:
        (tree / name).unlink()
        for parent in PurePosixPath(name).parents:
            if parent.name and not any((tree / parent).iterdir()):
                (tree / parent).rmdir()


@dataclass
class _File:
    """A file on its way: it lies in ``parts/`` until its last piece is there."""

    entry: Entry
    tree: Path
    journal: _Journal
    lock: Any = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        entry = self.entry
        self.part = self.tree.parent / "parts" / hashlib.sha256(f"{entry.name}\n{entry.tag}".encode()).hexdigest()
        if not self.part.exists() and entry.size > PIECE:
            self.journal.add(entry, _BEGUN)
        known = self.journal.pieces.get((entry.name, entry.size, entry.tag), set())
        self.pieces = [number for number in range(max(1, -(-entry.size // PIECE))) if number not in known]
        self.left = len(self.pieces)
        if not self.left:
            self._finish()

    def length(self, number: int) -> int:
        return min(PIECE, self.entry.size - number * PIECE)

    @property
    def missing(self) -> int:
        return sum(self.length(number) for number in self.pieces)

    def take(self, store: Store, number: int, stop: threading.Event, on_bytes: Callable[[int], None]) -> None:
        """Copy one piece. Raises BrokenOff when that does not succeed, however often it is tried."""
        start, length, done, tried = number * PIECE, self.length(number), 0, 0
        self.part.parent.mkdir(exist_ok=True)
        handle = os.open(self.part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            while done < length and not stop.is_set():
                try:
                    for chunk in store.read(self.entry, start + done, length - done):
                        if done + len(chunk) > length:
                            raise BrokenOff("the server sends more than it was asked for")
                        os.pwrite(handle, chunk, start + done)
                        done += len(chunk)
                        on_bytes(len(chunk))
                        if stop.is_set():
                            return
                    if done < length:
                        raise BrokenOff(f"{done} of {length} bytes came")
                except BrokenOff:
                    tried += 1
                    if tried == ATTEMPTS:
                        raise
                    stop.wait(RETRY_DELAY * 2 ** (tried - 1))
        finally:
            os.close(handle)
        if stop.is_set():
            return
        with self.lock:
            self.left -= 1
            if self.entry.size > PIECE:
                self.journal.add(self.entry, number)
            if not self.left:
                self._finish()

    def _finish(self) -> None:
        target = self.tree / self.entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self.part, target)
        self.journal.add(self.entry)


def _copy_pieces(store: Store, files: Sequence[_File], on_bytes: Callable[[int], None], setting: str) -> None:
    stop = threading.Event()
    pool = ThreadPoolExecutor(THREADS)
    try:
        jobs = {pool.submit(file.take, store, number, stop, on_bytes): file for file in files for number in file.pieces}
        for job in as_completed(jobs):
            try:
                job.result()
            except BrokenOff as error:
                raise UserError(
                    f"{setting}: {jobs[job].entry.name} could not be copied ({' '.join(str(error).split())}); "
                    "the same command goes on with the rest"
                ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
