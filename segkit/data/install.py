"""From an archive to a data set on disk: the tree is whole and checked, or it is not there."""

import fcntl
import logging
import os
import shutil
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from segkit.data.archive import ArchiveError, Progress, extract
from segkit.data.download import discard, fetch, is_download
from segkit.errors import UserError

log = logging.getLogger(__name__)


def obtain(
    url_or_path: str | Path,
    root: Path,
    check: Callable[[Path], list[str]],
    on_progress: Progress | None = None,
    *,
    folders: Sequence[str] = ("training/image_2", "testing/image_2"),
) -> Path:
    """Install a zipped data set as the folder ``root``, and return it.

    An http(s) address is downloaded to ``<root>.zip``, which a failed or killed call leaves for the next one to go on
    with, unless its content is to blame; it is removed at the end. A path or ``file://`` address is used in place and
    never removed. The tree is extracted beside ``root``, checked there and renamed in one step. A ``root`` that
    passes ``check`` already is returned as it is.

    Args:
        check: is given the tree's folder and returns its problems, none for a good one.
        on_progress: is called with bytes done and bytes in all, first for the download, then from 0 for the extraction.
        folders: the tree is the archive's top or the folder one level down that holds all of these.

    Raises:
        UserError: the download fails, the archive or its content is not fit, or something else is at ``root``.
    """
    root = root.resolve()  # a link to another disk: the tree has to be renamed on that disk
    address = str(url_or_path)
    try:
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            problems = check(root) if root.is_dir() else ["it is a file"]
            if problems:
                raise UserError(
                    f"data.root={root} exists and is not the data set ({_summary(problems)}).\n"
                    "Nothing was overwritten: move or delete it, or choose another data.root."
                )
            log.info("%s is there already, and complete", root)
            _clear(root)
            return root
        with _alone(root):
            if not address.lower().startswith(("http://", "https://")):
                _install(_local(address), root, check, on_progress, folders)
                return root
            archive = fetch(address, _downloaded(root), on_progress)
            try:
                _install(archive, root, check, on_progress, folders)
            except ArchiveError as error:
                discard(archive)
                raise UserError(f"data.url={address}: {error}") from error
            discard(archive)
    except OSError as error:
        raise UserError(f"data.root={root} could not be written: {error}.") from error
    return root


def _downloaded(root: Path) -> Path:
    return root.with_name(f"{root.name}.zip")


def _staging(root: Path) -> Path:
    return root.with_name(f".{root.name}.extracting")


def _lock(root: Path) -> Path:
    return root.with_name(f".{root.name}.lock")


def _clear(root: Path) -> None:
    """Remove what a call has left that was killed when ``root`` was in its place."""
    if not (_lock(root).exists() or _staging(root).exists()):
        return
    with suppress(UserError, OSError), _alone(root):
        shutil.rmtree(_staging(root), ignore_errors=True)
        if is_download(_downloaded(root)):
            discard(_downloaded(root))


def _local(address: str) -> Path:
    scheme, separator, _ = address.partition("://")
    if not separator:
        path = Path(address).expanduser()
    elif scheme == "file" and urlsplit(address).netloc in ("", "localhost"):
        path = Path(urllib.request.url2pathname(urlsplit(address).path))
    else:
        raise UserError(f"data.url={address}: takes an http://, https:// or file:// address or a local zip file.")
    if not path.is_file():
        raise UserError(
            f"data.url={address}: there is no file {path}; it takes a zip file (a folder is set as data.root)."
        )
    return path


def _install(
    archive: Path,
    root: Path,
    check: Callable[[Path], list[str]],
    on_progress: Progress | None,
    folders: Sequence[str],
) -> None:
    staging = _staging(root)
    shutil.rmtree(staging, ignore_errors=True)  # left by a killed call
    try:
        extract(archive, staging, on_progress)
        below = sorted(folder for folder in staging.iterdir() if folder.is_dir())
        tree = next((tree for tree in (staging, *below) if all((tree / folder).is_dir() for folder in folders)), None)
        if tree is None:
            found = ", ".join(folder.name for folder in below[:5]) or "no folders"
            raise ArchiveError(
                f"{archive} has no {' and '.join(folders)}, at its top or one level down (found: {found})."
            )
        if problems := check(tree):
            raise ArchiveError(f"{archive} is not the data set: {_summary(problems).replace(f'{tree}/', '')}.")
        os.rename(tree, root)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _summary(problems: list[str]) -> str:
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keep a second process from clearing away what this one is extracting."""
    root.parent.mkdir(parents=True, exist_ok=True)
    path = _lock(root)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise BlockingIOError  # its holder removed it in between, and a third process may hold the next one
        except BlockingIOError:
            raise UserError(f"data.root={root}: another process is installing it, wait for its end.") from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
