"""What prediction may write: its own files of before, and nothing else that is there."""

import glob
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from segkit.config.check import shown
from segkit.data.writer import FrameWriter, Writer
from segkit.errors import UserError
from segkit.runs.files import write_whole
from segkit.runs.read import read_result
from segkit.runs.regular import read_text, real
from segkit.runs.stamp import check_stamp, stamped

log = logging.getLogger(__name__)

MANIFEST = ".files.json"
"""The names of all files that prediction has written into a folder, or was about to."""


def claim(
    folder: Path,
    writers: Sequence[Writer],
    pictures: Sequence[Path],
    networks: Sequence[str],
    frame_writers: Sequence[FrameWriter] = (),
    stems: Sequence[str] | None = None,
) -> None:
    """Make ready to write what ``writers`` make of ``pictures`` into ``folder``; nothing is touched before all is well.

    What was written there earlier may be replaced, and what was of all pictures together (``road.json``) is removed:
    it would pass for these pictures' own. A line says so where that was the work of other networks.

    Args:
        folder: where to write.
        writers: of one picture each, or of all together.
        pictures: what they are to show: pictures, or a video.
        networks: the checkpoints.
        frame_writers: of all frames together.
        stems: what the files of one picture each are called; None: as ``pictures``. An asterisk stands for any number.

    Raises:
        UserError: a file in the way that is not known to be segkit's, a link, or one of ``pictures``.
    """
    patterns, stems = stems is not None, [path.stem for path in pictures] if stems is None else stems
    names = [f"{writer.name}/{stem}.png" for writer in writers if writer.per_picture for stem in stems]
    files = [writer.files for writer in writers] + [writer.files for writer in frame_writers]
    names += [name for group in files for name in group]
    own = _written(folder)
    inputs = {real(path) for path in pictures}
    for name in names:
        for path in _held(folder, name, patterns):
            held = path.relative_to(folder).as_posix()
            place = f"output={folder}: {held}"
            if real(path) in inputs:
                raise UserError(f"{place} is one of the pictures of input=, which lie in it and could be overwritten")
            if path.is_symlink() or (path.parent != folder and path.parent.is_symlink()):
                raise UserError(f"{place} is a link, or lies behind one; remove it or give another output=")
            if not {name, held} & own and path.exists():
                raise UserError(f"{place} is there, and not known to be segkit's; remove it or give another output=")
    lost = [name for name in own if (name in names or "/" not in name) and (folder / name).exists()]
    before = read_result(folder).get("checkpoint")
    if lost and before != list(networks):
        of = "an earlier prediction" if before is None else f"checkpoint={shown(before)}"
        log.warning("output=%s: %d files of %s are replaced", folder, len(lost), of)
    for name in own:
        if "/" not in name:
            (folder / name).unlink(missing_ok=True)
    write_whole(folder / MANIFEST, json.dumps(stamped({"files": sorted(own.union(names))})).encode())


def any_number(stem: str) -> str:
    """The stem of a video's frames, for ``claim``."""
    return f"{glob.escape(stem)}_*"


def _held(folder: Path, name: str, patterns: bool) -> list[Path]:
    """The files that a name means: itself, or those that are there where it stands for any."""
    if not patterns or not name.endswith("_*.png"):
        return [folder / name]
    return sorted(folder.glob(name)) or [folder / name]


def _written(folder: Path) -> set[str]:
    """A name counts only where it can be one of ours: a file of the folder or of a folder in it."""
    try:
        held = json.loads(read_text(folder / MANIFEST))
    except (OSError, ValueError, RecursionError):
        return set()
    if isinstance(held, dict):
        check_stamp(held, folder / MANIFEST)
        held = held.get("files")
    names = held if isinstance(held, list) else []  # the list alone, before there were stamps
    own = [name for name in names if isinstance(name, str) and 0 < len(Path(name).parts) <= 2]
    return {name for name in own if ".." not in Path(name).parts and not Path(name).is_absolute()}
