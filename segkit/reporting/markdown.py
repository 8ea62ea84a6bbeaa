"""What all entries of the lab book share: the mark that makes a folder segkit's to write, tables, what a run ran on."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segkit.errors import UserError

log = logging.getLogger(__name__)

WRITTEN = "Written by `segkit report`; the numbers are those of `result.json`."


def check_writable(folder: Path) -> None:
    """Refuse a folder whose ``README.md`` or ``result.json`` is somebody's own.

    Raises:
        UserError: naming the file.
    """
    for name in ("README.md", "result.json"):
        present, readme = folder / name, folder / "README.md"
        if present.exists() and not (readme.exists() and WRITTEN in readme.read_text()):
            raise UserError(f"into={folder}: {present} was not written by segkit report; give another folder")


def say_what_is_replaced(folder: Path, text: str, growing: bool = False) -> None:
    """Log a line where ``folder`` holds another entry than ``text``, which is going to take its place.

    A ``growing`` one, of a sweep, is another one where its title or its commands are other ones.
    """
    readme = folder / "README.md"
    before = readme.read_text() if readme.exists() else text
    old, new = (each.partition("```\n\n")[0] if growing else each for each in (before, text))
    if old != new:
        title = before.partition("\n")[0].removeprefix("# ")
        log.warning("into=%s: this replaces the entry that was there, “%s”", folder, title)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts as a table, the first one its head."""
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    head, *body = [f"| {' | '.join(row)} |" for row in escaped]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def made_on(gpu: str | None, commit: str | None, versions: dict[str, Any]) -> list[str]:
    """Lines that say on what hardware, with which code and which libraries something was measured."""
    return [
        f"- Hardware: {gpu or 'CPU'}; commit: {commit or 'not recorded'}",
        f"- Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}",
    ]
