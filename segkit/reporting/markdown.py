"""What all entries of the lab book share: the mark that makes a folder segkit's to write, tables, what a run ran on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segkit.errors import UserError

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
