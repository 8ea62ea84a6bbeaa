"""Settings that name something elsewhere, made local: what they name is copied once, and used from the copy."""

import copy as copying_objects
import hashlib
import logging
import os
import shutil
import tarfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from segkit.console import progress_bar
from segkit.data.archive import extract, readable_size
from segkit.errors import UserError
from segkit.remote.address import Address, Entry, Store, check_names, is_address
from segkit.remote.copying import copy
from segkit.remote.filesystem import OtherStore
from segkit.remote.s3 import S3

READ = (
    *("data.root", "checkpoint", "init_from", "model.weights", "input", "predictions", "calibration", "against"),
    *("run", "sweep"),
)
"""Settings that may name something elsewhere."""

WRITTEN = ("output", "into", "data.cache_dir")

UNPACKED = ("data.root", "input", "predictions", "calibration", "against")
"""Those that may name an archive of a folder."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")

log = logging.getLogger(__name__)

_copies: dict[str, str] = {}
"""The addresses of the copies that this process has used."""


def local_settings(settings: dict[str, Any], but: Collection[str] = ()) -> dict[str, Any]:
    """The settings with every address in them replaced by the place of its local copy, which is made where needed.

    Those of the keys ``but`` stay as they are.

    Raises:
        UserError: naming the setting and its address: nothing there, no permission, no answer, no room, …
    """
    settings = copying_objects.deepcopy(settings)
    for key in [key for key in (*READ, *WRITTEN) if key not in but]:
        *above, last = key.split(".")
        group: Any = settings
        for name in above:
            group = group.get(name, {})
        value = group.get(last) if isinstance(group, dict) else None
        if isinstance(value, str) and key in WRITTEN and is_address(value):
            raise UserError(f"{key}={value}: is written; give a folder or file of this machine")
        if isinstance(value, str):
            group[last] = local_place(key, value)
        elif isinstance(value, list):
            group[last] = [local_place(key, item) if isinstance(item, str) else item for item in value]
    return settings


def local_place(key: str, place: str) -> str:
    """Where a place is on this machine: a local one as it is, of another one its copy. ``key`` is the setting's."""
    if not is_address(place):
        return place
    setting = f"{key}={place}"
    address, below = Address.parse(place, setting), ""
    folder = PurePosixPath(address.key).parent
    if key == "checkpoint" and folder.name in ("checkpoints", "exported"):
        # With the run that it lies in the folder of, which says how it was trained.
        below = f"{folder.name}/{address.name}"
        address = Address(address.scheme, address.bucket, str(folder.parent))
    store = open_store(address, setting)
    entries, single = found(store, address, setting)
    if not single:
        entries = [entry for entry in entries if _is_needed(key, entry.name, below)]
        if not entries or (below and below not in {entry.name for entry in entries}):
            raise UserError(f"{setting}: there is no such file, nor what {key} needs; give another address")
    home = cache() / _digest(f"{store.endpoint} {address} {_kind(key)} {below}")
    tree = home / address.name
    if single:
        tree = home / "file"
    with alone(home, setting):
        check_names(entries, setting)
        copy(store, entries, tree, setting)
        path = tree / address.name if single else tree / below
        if single and key in UNPACKED and address.name.lower().endswith(ARCHIVES):
            path = _unpacked(path, home, entries[0].tag, setting)
    log.info("%s is used from its copy, %s", setting, path)
    _copies[str(path)] = place.rstrip("/")
    return str(path)


def with_addresses(text: str) -> str:
    """A message about what lies in copies, made to speak of the addresses that the user has typed."""
    for path, place in _copies.items():
        text = text.replace(path, place)
    return text


def cache() -> Path:
    """The folder of all copies."""
    return Path(os.environ.get("SEGKIT_CACHE") or Path(".cache", "remote")).expanduser()


def open_store(address: Address, setting: str) -> S3 | OtherStore:
    """What reads an address; see the classes for errors."""
    return S3(address, setting) if address.scheme == "s3" else OtherStore(address, setting)


def found(store: Store, address: Address, setting: str) -> tuple[list[Entry], bool]:
    """``store.entries()``. Raises UserError where there is nothing."""
    entries, single = store.entries()
    if not entries:
        look = (
            f"aws s3 ls s3://{address.bucket} shows what there is" if isinstance(store, S3) else "look at the address"
        )
        raise UserError(f"{setting}: there is nothing; {look}")
    return entries, single


@contextmanager
def alone(home: Path, setting: str) -> Iterator[None]:
    """Within it, no other process copies the same; the lock ends with its holder, however that dies."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home.with_name(f"{home.name}.lock"), thread_local=False)
        try:
            lock.acquire(timeout=0.1)
        except Timeout:
            log.info("%s: another process is copying it; waiting", setting)
            lock.acquire()
    except OSError as error:
        raise UserError(f"{setting}: {home} cannot be written ({error.strerror}); set SEGKIT_CACHE") from error
    try:
        yield
    finally:
        lock.release()


def _kind(key: str) -> str:
    return {"init_from": "checkpoint", "checkpoint": "checkpoint", "run": "run", "sweep": "run"}.get(key, "all")


def _is_needed(key: str, name: str, below: str) -> bool:
    """Whether a file of a run folder is needed: of 2 GB, a network to be used needs its weights alone."""
    path = PurePosixPath(name)
    if _kind(key) == "all":
        return True
    if "tensorboard" in path.parts:
        return False
    if _kind(key) == "run":
        return path.suffix != ".ckpt"
    if path.parts[0] == "exported":  # OpenVINO's weights lie beside its file
        return bool(below) and PurePosixPath(below).with_suffix("") == path.with_suffix("")
    wanted = name == below if below else path.name not in ("last.ckpt", "interrupted.ckpt")
    return wanted if path.suffix == ".ckpt" else "predictions" not in path.parts


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unpacked(archive: Path, home: Path, tag: str, setting: str) -> Path:
    """The folder that an archive holds, unpacked once; it is whole or not there."""
    tree, staging = home / f"tree-{_digest(tag)}", home / "unpacking"
    if not tree.is_dir():
        for old in (staging, *home.glob("tree-*")):
            shutil.rmtree(old, ignore_errors=True)
        try:
            with progress_bar() as bar:
                row = bar.add_task(f"unpacking {archive.name}", note="bytes")
                unpack = extract if archive.name.lower().endswith(".zip") else _extract_tar
                unpack(archive, staging, lambda done, total: bar.update(row, completed=done, total=total))
            os.rename(staging, tree)
        except UserError as error:
            raise UserError(f"{setting}: {error}") from error
        except OSError as error:
            raise UserError(f"{setting}: could not be unpacked in {home}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    inside = list(tree.iterdir())
    # A single folder at the top bears the data set's name, unless the set has a training part alone.
    if len(inside) == 1 and inside[0].is_dir() and not inside[0].name.startswith("train"):
        return inside[0]
    return tree


def _extract_tar(archive: Path, into: Path, on_progress: Callable[[int, int | None], None]) -> None:
    """Files and folders that stay inside of ``into``; tarfile refuses the rest."""
    try:
        with tarfile.open(archive) as source:
            members = source.getmembers()
            total, free = sum(member.size for member in members), shutil.disk_usage(archive.parent).free
            if total > free:
                needed = f"unpacks to {readable_size(total)}, and there are {readable_size(free)} free"
                raise UserError(f"{archive} {needed}; make room, or set SEGKIT_CACHE to a folder on another disk")
            into.mkdir()
            done = 0
            for member in members:
                source.extract(member, into, filter="data")
                done += member.size
                on_progress(done, total)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise UserError(f"{archive} is no sound tar file ({str(error).splitlines()[0]})") from error
