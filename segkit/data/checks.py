"""What can be wrong with a data set, and the one report that says all of it."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segkit.console import table
from segkit.data.records import Record
from segkit.errors import UserError, printable
from segkit.runs.regular import real

NO_IMAGES = "folders without images"
NO_LABEL = "images without a label"
NO_IMAGE = "labels without an image"
NAMES = "files with a name of another kind"
TWICE = "pictures in two parts"
UNREADABLE = "files that cannot be decoded"
SIZES = "labels of another size than their image"
VALUES = "labels with impossible values"
SPLIT = "splits that leave nothing"

NAMED = 5
"""Files that the report names of each kind of problem."""


class DataSetError(UserError):
    """What is wrong with a data set itself, as a report of several lines."""


class PictureError(UserError):
    """One file that is of no use; ``kind`` is its heading in the report."""

    def __init__(self, kind: str, path: Path, detail: str) -> None:
        super().__init__(f"{printable(path)} {detail}")
        self.kind, self.path, self.detail = kind, path, detail


@dataclass(frozen=True)
class Problem:
    """One line of the report under the heading ``kind``."""

    kind: str
    text: str


@dataclass(frozen=True)
class Layout:
    """A data set as found on disk, before any file is opened.

    ``parts`` has the keys ``train``, ``val`` and ``test``, each with its records in name order; ``found`` says in
    words what is there; ``label_files`` counts the label files by what they label.
    """

    parts: Mapping[str, Sequence[Record]]
    found: Sequence[str]
    label_files: Mapping[str, int]
    problems: Sequence[Problem] = field(default_factory=list)


def shortened(path: Path, root: Path) -> str:
    """``path`` as seen from the data set's root, where it lies below it."""
    return printable(path.relative_to(root) if path.is_relative_to(root) else path)


def report(root: Path, found: Sequence[str], problems: Sequence[Problem]) -> str:
    """All problems in one text: what was found, then each kind with its count and its first files."""
    head = [f"data.root={root} cannot be used as it is.", *(f"  found {line}" for line in found)]
    return "\n".join([*head, *grouped(problems)])


def grouped(problems: Sequence[Problem]) -> list[str]:
    """Lines that give each kind of problem with its count and its first files."""
    lines = []
    for kind, count in Counter(problem.kind for problem in problems).items():
        lines.append(f"{kind}: {count}")
        texts = [problem.text for problem in problems if problem.kind == kind]
        lines += [f"  {text}" for text in texts[:NAMED]]
        if count > NAMED:
            lines.append(f"  and {count - NAMED} more")
    return lines


def find_root(root: Path, wanted: Sequence[str], remedy: str = "") -> Path:
    """``root`` if every folder of ``wanted`` (relative paths) exists below it; ``remedy`` says how to come by one.

    Raises:
        DataSetError: saying what was looked for and, where a level above or below ``root`` is the right one, which.
    """

    def fits(folder: Path) -> bool:
        return all((folder / name).is_dir() for name in wanted)

    if fits(root):
        return root
    here = real(root)
    below = sorted(child for child in here.iterdir() if child.is_dir()) if here.is_dir() else []
    looked = f"data.root={root}: " + ("has no" if here.is_dir() else "does not exist; looked for")
    looked += f" {' and '.join(f'{name}/' for name in wanted)}"
    for candidate in [*below, *list(here.parents)[:2]]:
        if fits(candidate):
            level = "below" if candidate in below else "above"
            raise DataSetError(f"{looked}. The right level is {level}: data.root={_as_typed(root, candidate)}")
    held = f"{looked}. Set data.root to the folder that holds {'them' if len(wanted) > 1 else 'it'}"
    raise DataSetError(f"{held}; {remedy}." if remedy and not here.is_dir() else f"{held}.")


def _as_typed(root: Path, candidate: Path) -> Path:
    """``candidate`` written the way the user wrote ``root``: relative stays relative."""
    if root.is_absolute():
        return candidate
    return Path(os.path.relpath(candidate))


def summary_table(summary: Mapping[str, Mapping[str, int]]) -> str:
    """Records per part and group (``SegmentationDataModule.summary``) as text, one line per group, with totals."""
    groups = sorted({group for counts in summary.values() for group in counts})
    rows = [["", *summary]]
    rows += [[group, *(str(counts.get(group, 0)) for counts in summary.values())] for group in groups]
    return table([*rows, ["all", *(str(sum(counts.values())) for counts in summary.values())]])
