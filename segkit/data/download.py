"""Transfer of a large file by http(s), taken up again where it ended."""

import http.client
import json
import logging
import os
import re
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from segkit.data.archive import CHUNK, Progress, readable_size
from segkit.errors import UserError
from segkit.runs.files import create, write_whole
from segkit.runs.plain import read_json
from segkit.runs.stamp import stamped, unstamped

RETRY_DELAY = 1.0
"""Seconds before a transfer's second request; doubled before each further one."""

_REMEDY = "Run the command again to resume, or download the file by hand and set data.url=<local file>."

log = logging.getLogger(__name__)


class _TransferError(Exception):
    """The transfer stopped early, and the next request may do better."""


class _UnreachableError(_TransferError):
    """No connection came about."""


class _MismatchError(_TransferError):
    """The server's file is not the one that the unfinished file is the beginning of."""


@dataclass(frozen=True)
class _Origin:
    """What the bytes of an unfinished or finished download are a copy of: kept as JSON beside them."""

    url: str
    validator: str | None
    total: int | None

    @classmethod
    def beside(cls, destination: Path) -> "_Origin | None":
        try:
            path = _sidecar(destination)
            return cls(**unstamped(read_json(path), path))
        except (OSError, UserError, TypeError, AttributeError):
            return None


def fetch(
    url: str, destination: Path, on_progress: Progress | None = None, timeout: float = 30.0, attempts: int = 5
) -> Path:
    """Download an http(s) address to the file ``destination``, and return it.

    The bytes go to ``<destination>.part``. A connection that is cut or silent for ``timeout`` seconds is taken up
    where it ended, by up to ``attempts`` requests in this call and by later calls; a server that offers no ranges, or
    another file by now, is read again from the start. ``<destination>.json`` remembers what the bytes are a copy of.
    It stays beside the finished file, which a further call with the same address returns without a transfer.

    Raises:
        UserError: the address or host is wrong, the transfer does not get through, the disk cannot be written, or
            ``destination`` is a file that was not downloaded by this function.
    """
    part = _part(destination)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        if destination.exists():
            origin = _Origin.beside(destination)
            if origin is None:
                raise UserError(
                    f"{destination} is in the way of the download: set data.url={destination} to use it, or move it."
                )
            if origin.url == url:
                return destination
            discard(destination)
        for attempt in range(1, attempts + 1):
            try:
                _transfer(url, destination, on_progress, timeout)
                break
            except _TransferError as error:
                if isinstance(error, _MismatchError):
                    part.unlink(missing_ok=True)
                # A host that never answered is more likely misspelt than busy: say so at once.
                if attempt == attempts or (attempt == 1 and isinstance(error, _UnreachableError)):
                    raise UserError(f"data.url={url}: {error}.\n{_REMEDY}") from error
                log.warning("%s: %s; request %d of %d follows", url, error, attempt + 1, attempts)
                time.sleep(RETRY_DELAY * 2 ** (attempt - 1))
        os.replace(part, destination)
    except OSError as error:
        raise UserError(f"data.url={url}: {part} could not be written: {error}.\n{_REMEDY}") from error
    return destination


def is_download(destination: Path) -> bool:
    """Whether ``fetch`` has finished a file at ``destination``."""
    return destination.exists() and _Origin.beside(destination) is not None


def discard(destination: Path) -> None:
    """Remove what ``fetch`` has finished at ``destination``, with its record."""
    destination.unlink(missing_ok=True)
    _sidecar(destination).unlink(missing_ok=True)


def _transfer(url: str, destination: Path, on_progress: Progress | None, timeout: float) -> None:
    """One request: bring the unfinished file to its full length, or raise ``_TransferError``."""
    part, origin = _part(destination), _Origin.beside(destination)
    start = 0
    headers: dict[str, str] = {}
    total: int | None
    if origin and origin.url == url and origin.validator and part.exists():
        start = part.stat().st_size
        if start and start == origin.total:  # killed between the last byte and the renaming
            return
        if start:
            headers = {"Range": f"bytes={start}-", "If-Range": origin.validator}
    with _response(urllib.request.Request(url, headers=headers), timeout) as response:
        if origin and start and response.status == 206:
            total = _continued_total(response, origin, start)
        else:
            start = 0
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
        if not start:
            create(part)
        with open(part, "ab", opener=_no_link) as file:
            if not start:  # only now that the old bytes are gone may the record change
                new = _Origin(url, _validator(response), total)
                write_whole(_sidecar(destination), json.dumps(stamped(asdict(new))).encode())
            done = start
            if on_progress:
                on_progress(done, total)
            while chunk := _received(response, done, total):
                file.write(chunk)
                done += len(chunk)
                if on_progress:
                    on_progress(done, total)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _response(request: urllib.request.Request, timeout: float) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        answer = f"the server answers {error.code} {error.reason}"
        if error.code == 416:
            raise _MismatchError("the server's file is no longer than the part that is here") from error
        if error.code in (408, 429) or error.code >= 500:
            raise _TransferError(answer) from error
        raise UserError(f"data.url={request.full_url}: {answer}.\n{_REMEDY}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _UnreachableError(f"no answer from the host ({getattr(error, 'reason', error)})") from error


def _continued_total(response: http.client.HTTPResponse, origin: _Origin, start: int) -> int:
    """The whole file's length, from an answer that does continue the unfinished file (some servers ignore If-Range)."""
    given = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if (
        not given
        or int(given[1]) != start
        or origin.total not in (None, int(given[2]))
        or _validator(response) not in (None, origin.validator)
    ):
        raise _MismatchError("the server's file has changed since its first part was downloaded")
    return int(given[2])


def _received(response: http.client.HTTPResponse, done: int, total: int | None) -> bytes:
    """The next bytes of the body, as soon as there are any; empty at its proper end."""
    wanted = CHUNK if total is None else min(CHUNK, total - done)
    if not wanted:
        return b""
    try:
        chunk = response.read1(wanted)
    except (OSError, http.client.HTTPException) as error:
        raise _TransferError(f"the connection broke after {readable_size(done)} ({error})") from error
    if not chunk and total is not None:
        raise _TransferError(f"the connection was cut after {readable_size(done)} of {readable_size(total)}")
    return chunk


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What If-Range may hold: a strong ETag (a weak one promises no equal bytes) or the date of the last change."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _part(destination: Path) -> Path:
    return destination.with_name(f"{destination.name}.part")


def _sidecar(destination: Path) -> Path:
    return destination.with_name(f"{destination.name}.json")
