"""``upload=s3://bucket/runs``: a run folder's mirror, kept up to date beside the training.

A thread looks at the folder. Whenever a checkpoint or ``result.json`` has changed, which is after every epoch's
validation, it sends what is new: ``last.ckpt`` first, since with it the run can go on. Nothing waits for it before the
end of the run.

One run writes a mirror: ``.upload.json`` there names who does, and the one in the run folder who this is.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from segkit.console import say_apart
from segkit.data.archive import readable_size
from segkit.errors import UserError, shortlist
from segkit.remote.address import Address
from segkit.remote.s3 import S3, SMALL
from segkit.runs.files import write_whole
from segkit.runs.folder import LOCK
from segkit.runs.stamp import stamped, unstamped

RECORD = ".upload.json"
POLL = 1.0
"""Seconds between two looks at the folder."""

RETRY = 10.0
"""Seconds until what could not be sent is tried again."""

LAST_ATTEMPTS = 3
"""How often that is tried at the end of the run."""

log = logging.getLogger(__name__)


@dataclass
class Record:
    """What a run folder knows of its mirror: its address, the names that this folder had there, the last one last,
    and of each file the bytes and the time (ns) that it was sent with."""

    url: str
    ids: list[str] = field(default_factory=list)
    sent: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Record | None":
        try:
            path = folder / RECORD
            return cls(**unstamped(json.loads(path.read_text()), path))
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def write(self, folder: Path) -> None:
        write_whole(folder / RECORD, json.dumps(stamped(asdict(self))).encode())


@contextmanager
def mirrored(folder: Path, upload: str | None) -> Iterator[None]:
    """Within it, the run folder is mirrored below ``upload``; at its end the rest is sent.

    Exits with 1 where something could not be sent, unless the run ends with an error of its own.

    Raises:
        UserError: no address of S3's, no permission, no answer; another run has this place.
    """
    if upload is None:
        yield
        return
    mirror = Mirror(folder, upload)
    mirror.claim()
    mirror.start()
    try:
        yield
    except BaseException:
        mirror.finish()
        raise
    with _despite_sigterm():
        whole = mirror.finish()
    if not whole:
        sys.exit(1)


@contextmanager
def _despite_sigterm() -> Iterator[None]:
    """Within it, a first SIGTERM ends nothing: it comes minutes before a spot instance is taken away, which is enough
    to send the end of a run that has finished. A second one does what the first would have done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: FrameType | None) -> None:
        say_apart(log.warning, "SIGTERM: what is left is sent still (again to stop at once)")
        signal.signal(number, before)

    before = signal.signal(signal.SIGTERM, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Mirror:
    """The mirror of one run folder.

    Args:
        folder: of the run.
        upload: the setting. A folder below ``outputs/`` has the same place below it, another one its name.

    Raises:
        UserError: no address of S3's.
    """

    def __init__(self, folder: Path, upload: str) -> None:
        self.folder, self.setting = folder, f"upload={upload}"
        base = Address.parse(upload, self.setting)
        if base.scheme != "s3":
            raise UserError(f"{self.setting}: runs are mirrored to S3 alone; give s3://<bucket>/<folder>")
        kept = Record.read(folder)
        if kept is not None and kept.url.startswith(f"{base}/"):
            self.record = kept
        else:
            outputs, place = Path("outputs").resolve(), folder.resolve()
            names = place.relative_to(outputs).parts if place.is_relative_to(outputs) else (place.name,)
            self.record = Record(str(base.below(*names)))
        self.store = S3(Address.parse(self.record.url, self.setting), self.setting)
        self.stop = threading.Event()
        self.new = not self.record.ids
        self.failure = ""
        self.lost = False
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def claim(self) -> None:
        """Make the place this run's.

        Raises:
            UserError: it is another's, or cannot be written.
        """
        own, record = uuid.uuid4().hex, self.record
        there = owner(self.store)
        taken = f"{self.setting}: {record.url} holds another run; give another upload= or hydra.run.dir="
        if there is not None and there not in record.ids:
            raise UserError(f"{taken}, or go on with that one: resume={record.url}")
        if self.new and self.store.entries()[0]:
            raise UserError(taken)
        record.ids.append(own)
        record.write(self.folder)  # first: a run that is killed in between knows its own name there
        mine = False
        try:
            mine = self.store.put_text(RECORD, json.dumps(stamped({"id": own})), new=there is None)
        finally:
            if self.new and not mine:
                (self.folder / RECORD).unlink()
        if not mine:
            raise UserError(taken)

    def start(self) -> None:
        self.thread.start()

    def finish(self) -> bool:
        """Send what is left. Returns whether all is there; where not, says what is missing and what to do."""
        self.stop.set()
        left = sum(path.stat().st_size for name in self._changed() if (path := self.folder / name).exists())
        if left >= SMALL and not self.lost:
            log.info("sending the last %s to %s", readable_size(left), self.record.url)
        try:
            self.thread.join()
            if self.new and not (self.folder / "result.json").exists():  # nothing has come of the run
                self._withdraw()
                return True
            for attempt in range(LAST_ATTEMPTS):
                time.sleep(2.0 ** (attempt - 1) if attempt else 0)
                if self.lost or self._send():
                    break
            if not (self.lost or self.failure):
                log.info("mirrored: %s", self.record.url)
                return True
        except KeyboardInterrupt:
            self.failure = f"{self.setting}: ended by Ctrl-C"
        unsent = self._changed()
        rest = "" if self.lost else f", and resume={self.folder} sends the rest"
        log.error("%s\nnot sent: %s. All of it is in %s%s", self.failure, shortlist(unsent), self.folder, rest)
        return False

    def _withdraw(self) -> None:
        with suppress(UserError, OSError):
            for name in (*self.record.sent, RECORD):
                self.store.remove(name)
            (self.folder / RECORD).unlink()

    def _watch(self) -> None:
        due, wait = True, POLL
        while not self.lost:
            if due:
                wait = POLL if self._send() else RETRY
            if self.stop.wait(wait):
                return
            due = wait == RETRY or any(name == "result.json" or name.endswith(".ckpt") for name in self._changed())

    def _changed(self) -> list[str]:
        """Files that are not there as they are here, in the order in which they are to be sent."""
        found = []
        for path in self.folder.rglob("*"):
            name = str(path.relative_to(self.folder))
            with suppress(FileNotFoundError):  # what was there a moment ago
                if path.is_symlink() or not path.is_file() or name in (LOCK, RECORD) or path.suffix == ".part":
                    continue
                about = path.stat()
                if self.record.sent.get(name) != [about.st_size, about.st_mtime_ns]:
                    found.append(name)
        return sorted(found, key=_order)

    def _send(self) -> bool:
        """Send what has changed. Returns whether all of it was sent."""
        try:
            changed = self._changed()
            if not changed:
                self.failure = ""
                return True
            if self.failure:  # perhaps with credentials that have been renewed meanwhile
                self.store = S3(self.store.address, self.setting)
            if owner(self.store) != self.record.ids[-1]:
                self.lost = True
                raise UserError(f"{self.setting}: another process goes on with {self.record.url}; nothing more is sent")
            large = [name for name in changed if name.endswith(".ckpt")]
            for name in large:
                self._send_file(name)
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(self._send_file, changed[len(large) :]))
            self.failure = ""
            with suppress(OSError):  # on a full disk: the same may be sent again then
                self.record.write(self.folder)
        except (UserError, OSError) as error:
            if str(error) != self.failure:
                log.warning("%s%s", error, "" if self.lost else "; it is tried again")
            self.failure = str(error)
            return False
        return True

    def _send_file(self, name: str) -> None:
        with suppress(FileNotFoundError), (self.folder / name).open("rb") as file:
            about = os.fstat(file.fileno())
            self.store.send(name, file)
            self.record.sent[name] = [about.st_size, about.st_mtime_ns]


def owner(store: S3) -> str | None:
    """The name of the run that writes the mirror at the store's address; None where nobody has claimed it."""
    text = store.get_text(RECORD)
    try:
        return None if text is None else str(json.loads(text)["id"])
    except (ValueError, KeyError, TypeError):
        return ""


def _order(name: str) -> tuple[bool, bool, str]:
    return name != "checkpoints/last.ckpt", not name.endswith(".ckpt"), name
