"""Figures of a comparison, as PNG files: the score against what was swept, loss curves, the score against time."""

import io
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from segkit.reporting.comparison import FOLD, Comparison, Row
from segkit.reporting.swept import is_number, shown, sort_key
from segkit.runs.monitor import mode

DOT, MEDIAN = "#0072B2", "#D55E00"  # Okabe and Ito, which colour-blind people can tell apart
UNKNOWN = "#888888"
WIDE = 8
"""Values that span more than this factor stand on a logarithmic axis."""

NAMED, LABELLED, FEW_VALUES = 8, 12, 12
"""Most curves with a legend, most dots with a label, most values with a median and a tick each."""


def figures(comparison: Comparison) -> dict[str, bytes]:
    """PNG files by name: ``score_<setting>`` for each swept setting, ``loss_curves`` and ``score_time``.

    Those that would be empty are left out.
    """
    found: dict[str, bytes] = {}
    scored = _scored(comparison, comparison.rows)
    for key in comparison.keys:
        rows = _scored(comparison, comparison.folds) if key == FOLD and comparison.folds else scored
        rows = [row for row in rows if key in row.values]
        if len({shown(row.values[key]) for row in rows}) > 1:
            found[f"score_{comparison.short[key]}"] = _drawn(partial(score_by_value, comparison, key, rows))
    curves = [row for row in comparison.singles if _losses(row)]
    if curves:
        found["loss_curves"] = _drawn(partial(loss_curves, comparison, curves))
    timed = [row for row in scored if row.seconds is not None]
    if len(timed) > 1:
        found["score_time"] = _drawn(partial(score_by_time, comparison, timed))
    return found


def _drawn(draw: Callable[[Axes], None]) -> bytes:
    figure = Figure(figsize=(8, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _scored(comparison: Comparison, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if comparison.score(row) is not None]


def _scores(comparison: Comparison, rows: Sequence[Row]) -> list[float]:
    return [score for score in map(comparison.score, rows) if score is not None]


def score_by_value(comparison: Comparison, key: str, rows: Sequence[Row], axes: Axes) -> None:
    """A dot for each row, and a line through the medians of the values' finished rows."""
    values = sorted({shown(row.values[key]): row.values[key] for row in rows}.values(), key=sort_key)
    texts = [shown(value) for value in values]
    numeric = all(map(is_number, values))
    places = dict(zip(texts, values if numeric else range(len(values)), strict=True))
    _dots(comparison, rows, [places[shown(row.values[key])] for row in rows], axes)
    by_value = {text: [row for row in rows if row.finished and shown(row.values[key]) == text] for text in texts}
    medians = {text: median(_scores(comparison, own)) for text, own in by_value.items() if own}
    with_median = len(texts) <= FEW_VALUES and len(medians) > 1
    if with_median:
        line = [places[text] for text in medians]
        axes.plot(line, list(medians.values()), "_-", color=MEDIAN, markersize=18, zorder=2)
    if numeric and _wide(values):
        axes.set_xscale("log")
    if not numeric or len(values) <= FEW_VALUES:
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(list(places.values()), texts, rotation=30 if sum(map(len, texts)) > 80 else 0)
    if not numeric:
        axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_xlabel(key)
    _legend(rows, with_median, axes)


def _dots(comparison: Comparison, rows: Sequence[Row], places: Sequence[float], axes: Axes) -> None:
    """Scores over ``places``, hollow where they are not final."""
    scores = _scores(comparison, rows)
    faces = [DOT if row.finished else "white" for row in rows]
    axes.scatter(places, scores, s=45, c=faces, edgecolors=DOT, alpha=0.75, zorder=3)
    if mode(comparison.monitor) == "min" and _wide(scores):
        axes.set_yscale("log")
    axes.set_ylabel(comparison.monitor)


def _legend(rows: Sequence[Row], with_median: bool, axes: Axes) -> None:
    """What the marks mean, where there is more than one kind."""
    marks = []
    for finished, face, text in ((True, DOT, "finished"), (False, "white", "not finished")):
        if any(row.finished == finished for row in rows):
            marks.append(Line2D([], [], color=face, marker="o", linestyle="", markeredgecolor=DOT, label=text))
    if with_median:
        marks.append(Line2D([], [], color=MEDIAN, label="median of the finished"))
    if len(marks) > 1:
        axes.figure.legend(handles=marks, loc="outside upper right", ncols=3, fontsize="small", frameon=False)


def _names(marks: Sequence[Line2D], axes: Axes) -> None:
    """A legend below the axes, in two columns where there is room."""
    longest = max(len(str(mark.get_label())) for mark in marks)
    columns = 2 if longest <= 50 and len(marks) > 1 else 1
    width = 0 if marks[0].get_linestyle() == "None" else 2
    axes.figure.legend(
        handles=marks, loc="outside lower left", ncols=columns, fontsize="small", frameon=False, handlelength=width
    )


def _wide(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) > WIDE


def _losses(row: Row) -> list[tuple[int, float]]:
    """Epochs and their mean training losses; an epoch whose loss was not finite has none."""
    epochs = row.runs[0].epochs
    return [(epoch["epoch"], epoch["mean_loss"]) for epoch in epochs if epoch.get("mean_loss") is not None]


def loss_curves(comparison: Comparison, rows: Sequence[Row], axes: Axes) -> None:
    """A curve for each run, the darker the better its score; the best lie on top."""
    scores = _scores(comparison, rows)
    shades = colormaps["viridis_r"](np.arange(25, 256))  # its pale end is hard to see on white
    shades = shades[::-1] if mode(comparison.monitor) == "min" else shades
    colours = ScalarMappable(Normalize(min(scores, default=0), max(scores, default=1)), ListedColormap(shades))
    for row in reversed(rows):
        epochs, losses = zip(*_losses(row), strict=True)
        score = comparison.score(row)
        colour = UNKNOWN if score is None else tuple(colours.to_rgba(np.array([score]))[0])
        style, marker = "-" if row.finished else "--", "." if len(epochs) == 1 else ""
        axes.plot(epochs, losses, linestyle=style, color=colour, marker=marker, label=comparison.label(row))
    if len(set(scores)) > 1:
        axes.figure.colorbar(colours, ax=axes, label=comparison.monitor)
    if len(rows) <= NAMED:
        _names(axes.get_lines()[::-1], axes)
    if _wide([loss for row in rows for _, loss in _losses(row)]):
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    dashed = "" if all(row.finished for row in rows) else " (dashed: not finished)"
    axes.set(xlabel="epoch", ylabel=f"mean training loss{dashed}")


def score_by_time(comparison: Comparison, rows: Sequence[Row], axes: Axes) -> None:
    """Scores over seconds of training; where there are few, the dots have their ranks, and a legend says whose."""
    seconds = [row.seconds or 0.0 for row in rows]
    _dots(comparison, rows, seconds, axes)
    if _wide(seconds):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds of training")
    if len(rows) > LABELLED:
        _legend(rows, False, axes)
        return
    marks = []
    for x, y, row in zip(seconds, _scores(comparison, rows), rows, strict=True):
        rank = next(str(place) for place, other in enumerate(comparison.rows, start=1) if other is row)
        axes.annotate(rank, (x, y), xytext=(6, 4), textcoords="offset points", fontsize="small")
        marks.append(Line2D([], [], linestyle="", label=f"{rank}  {comparison.label(row)}"))
    _names(marks, axes)
