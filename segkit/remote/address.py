"""Addresses such as ``s3://bucket/data_road``, what lies there, and which of its names can be files of this disk."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

from segkit.errors import UserError

_ADDRESS = re.compile(r"([A-Za-z][\w+.-]*)://([^/]*)/*(.*)", re.DOTALL)


def is_address(place: Any) -> bool:
    """Whether ``place`` is a text that names something outside of this machine's file systems."""
    found = _ADDRESS.fullmatch(place) if isinstance(place, str) else None
    return found is not None and found[1].lower() != "file"


@dataclass(frozen=True)
class Address:
    """``scheme://bucket/key``; ``key`` has no slash at its ends, and is empty for a whole bucket."""

    scheme: str
    bucket: str
    key: str

    @classmethod
    def parse(cls, url: str, setting: str) -> "Address":
        """Raises UserError, naming the ``setting``, for an address without a bucket or host."""
        found = _ADDRESS.fullmatch(url)
        if found is None or not found[2]:
            raise UserError(f"{setting}: names no bucket; an address is s3://<bucket>/<folder or file>")
        if {".", ".."} & {found[2], *found[3].split("/")}:
            raise UserError(f"{setting}: an address has no . and .. in it; give the whole one")
        return cls(found[1].lower(), found[2], found[3].rstrip("/"))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")

    @property
    def name(self) -> str:
        """Its last part: of a whole bucket, the bucket's."""
        return PurePosixPath(self.key).name or self.bucket

    def below(self, *names: str) -> "Address":
        return Address(self.scheme, self.bucket, "/".join(filter(None, (self.key, *names))))


@dataclass(frozen=True)
class Entry:
    """A file there: its path below the address, the store's own key of it, bytes, and what changes with its content
    (the ETag)."""

    name: str
    key: str
    size: int
    tag: str


class BrokenOff(Exception):  # noqa: N818 - not an end, but a reason to try again
    """A connection that was cut, or a server that is busy."""


class Store(Protocol):
    """A place from which files can be read."""

    def entries(self) -> tuple[list[Entry], bool]:
        """All files at the address, and whether it is that of a single one. None where there is nothing."""

    def read(self, entry: Entry, start: int, length: int) -> Iterator[bytes]:
        """Bytes of a file, which has to be that of ``entry`` still. Raises BrokenOff for what may go better later."""


def check_names(entries: Sequence[Entry], setting: str) -> None:
    """Hold names against what can be kept as files side by side inside of one folder.

    Raises:
        UserError: naming the ``setting`` and the key, for one that would leave the folder, is no file's name, stands
            for a file and a folder at once, or differs from another in upper and lower case alone.
    """
    names = [entry.name for entry in entries]
    folders = {str(parent).casefold() for name in names for parent in PurePosixPath(name).parents}
    counts = Counter(name.casefold() for name in names)
    for entry in entries:
        parts = entry.name.split("/")
        flaw = None
        if any(part in ("", ".", "..") for part in parts) or "\0" in entry.name or "\\" in entry.name:
            flaw = "is no path of a file below it"
        elif entry.name.casefold() in folders:
            flaw = "is both a file and a folder"
        elif counts[entry.name.casefold()] > 1:
            flaw = "is there twice (upper and lower case count as the same)"
        if flaw:
            raise UserError(f"{setting}: the key {entry.key!r} {flaw}; nothing was copied. Rename or remove it there")
