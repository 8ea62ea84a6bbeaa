"""The table of a comparison, column by column: for the screen, for Markdown and HTML, and as CSV with everything."""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from segkit.console import table
from segkit.reporting.comparison import Comparison, Row, known_score
from segkit.reporting.swept import NOTHING, is_number, shown, sort_key
from segkit.runs.monitor import mode

MAIN = ("iou", "mean_iou", "accuracy", "loss")
"""Scores that the table shows besides the one that ranks, and every ``…/MaxF``."""

SHORT = 60
"""Letters of a reason on the screen; all of it stands in the CSV file and in the page's list of failures."""

PERCENT = ("MaxF", "AP")


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        title: its head.
        cells: its texts, row by row.
        order: numbers that sort the rows by it; None comes last.
        numeric: whether it stands flush right.
        largest_first: whether large is good.
    """

    title: str
    cells: tuple[str, ...]
    order: tuple[float | None, ...]
    numeric: bool
    largest_first: bool = False


def columns(comparison: Comparison, rows: Sequence[Row], reasons: bool = False) -> list[Column]:
    """The columns of ``rows``: rank, what was swept, scores, best epoch, seconds of training, what has not finished.

    With ``reasons`` the last one says why, in short.
    """
    ranks = _ranks(comparison, rows)
    found = [Column("#", _texts(ranks, str), tuple(ranks), True)]
    labels = [comparison.label(row) for row in rows]
    if len(set(labels)) < len(rows) or not comparison.keys:
        found.append(_text_column("run", [comparison.place(row) for row in rows]))
    found += [_swept_column(comparison, key, rows) for key in comparison.keys]
    for name in score_names(comparison, MAIN):
        scores = [known_score(row, name) for row in rows]
        cells = _texts(scores, partial(score_text, name))
        found.append(Column(name, cells, tuple(scores), True, mode(name) == "max"))
    epochs = [row.best_epoch for row in rows]
    if any(epoch is not None for epoch in epochs):
        found.append(Column("best epoch", _texts(epochs, str), tuple(epochs), True))
    seconds = [row.seconds for row in rows]
    found.append(Column("seconds", _texts(seconds, seconds_text), tuple(seconds), True))
    if not all(row.finished for row in rows):
        found.append(_text_column("status", [_status(row, reasons) for row in rows]))
    return found


def _ranks(comparison: Comparison, rows: Sequence[Row]) -> list[int | None]:
    """The places of ranked rows; rows without the score have none."""
    return [None if comparison.score(row) is None else place for place, row in enumerate(rows, start=1)]


def score_names(comparison: Comparison, wanted: Sequence[str] | None = None) -> list[str]:
    """The names of the scores that there are, the one that ranks first; of those ``wanted`` and every MaxF, or all."""
    there = dict.fromkeys(name for row in (*comparison.rows, *comparison.folds) for name in row.scores)
    names = list(there) if wanted is None else [name for name in wanted if name in there]
    names += [name for name in there if name.endswith("/MaxF") and name not in names]
    return list(dict.fromkeys([comparison.monitor, *names]))


def score_text(name: str, score: float) -> str:
    """A score with as many digits as tell: those of the road are in percent, a loss that ran away is short."""
    if abs(score) >= 1e4:
        return f"{score:.3g}"
    return f"{score:.2f}" if name.endswith(PERCENT) else f"{score:.4f}"


def seconds_text(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds < 100 else f"{seconds:.0f}"


def _texts(values: Sequence[Any], text: Callable[[Any], str]) -> tuple[str, ...]:
    return tuple(NOTHING if value is None else text(value) for value in values)


def _swept_column(comparison: Comparison, key: str, rows: Sequence[Row]) -> Column:
    known = sorted((row.values[key] for row in rows if key in row.values), key=sort_key)
    order = [known.index(row.values[key]) if key in row.values else None for row in rows]
    cells = tuple(shown(row.values[key]) if key in row.values else NOTHING for row in rows)
    return Column(comparison.short[key], cells, tuple(order), all(map(is_number, known)))


def _text_column(title: str, cells: Sequence[str]) -> Column:
    known = sorted(set(cells) - {""})
    return Column(title, tuple(cells), tuple(known.index(cell) if cell else None for cell in cells), False)


def _status(row: Row, with_reason: bool) -> str:
    if row.finished:
        return ""
    reason = "" if row.pooled or not with_reason else " ".join(row.runs[0].reason.split())
    short = reason if len(reason) <= SHORT else f"{reason[: SHORT - 1]}…"
    return f"{row.status}: {short}" if short else row.status


def screen_text(comparison: Comparison, rows: Sequence[Row]) -> str:
    """The table as aligned lines, as long as they have to be."""
    return aligned(columns(comparison, rows, reasons=True))


def aligned(found: Sequence[Column]) -> str:
    """Columns as aligned lines; long titles take several."""
    head = [re.sub(r"[/ ]", "\\g<0>\n", column.title) for column in found]
    return table([head, *cell_rows(found)], {place for place, column in enumerate(found) if not column.numeric})


def cell_rows(found: Sequence[Column]) -> list[tuple[str, ...]]:
    """The texts of columns, row by row."""
    return list(zip(*(column.cells for column in found), strict=True))


def csv_text(comparison: Comparison) -> str:
    """Everything: swept settings under their full keys, all scores, seconds by phase, status, reason, folder.

    Values are written as in JSON, and what does not exist is empty. Single folds stand below and have no rank.
    """
    scores = score_names(comparison)
    phases = list(dict.fromkeys(phase for run in comparison.runs for phase in run.result.get("seconds", {})))
    head = ["rank", *comparison.keys, *scores, "best_epoch", *(f"seconds/{phase}" for phase in phases)]
    lines: list[list[Any]] = [[*head, "status", "reason", "folder"]]
    ranks = [*_ranks(comparison, comparison.rows), *[None] * len(comparison.folds)]
    for rank, row in zip(ranks, (*comparison.rows, *comparison.folds), strict=True):
        seconds = {} if row.pooled else row.runs[0].result.get("seconds", {})
        lines.append(
            [
                rank,
                *(_value(row.values[key]) if key in row.values else None for key in comparison.keys),
                *(row.scores.get(name) for name in scores),
                row.best_epoch,
                *(row.seconds if row.pooled and phase == "fit" else seconds.get(phase) for phase in phases),
                row.status if row.pooled else row.runs[0].status,
                "" if row.pooled else row.runs[0].reason,
                comparison.place(row),
            ]
        )
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
