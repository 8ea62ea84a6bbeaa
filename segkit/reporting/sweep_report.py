"""Many runs side by side: a table on the screen, and a folder with ``report.html``, ``README.md`` and their images."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segkit.reporting.about import About, describe, failures, summary
from segkit.reporting.columns import aligned, cell_rows, columns, csv_text, score_text, screen_text
from segkit.reporting.comparison import Comparison, Row, compare
from segkit.reporting.markdown import WRITTEN, made_on, say_what_is_replaced, table
from segkit.reporting.overlays import Shown, same_pictures, small_jpeg
from segkit.reporting.recipes import Recipes, recipes
from segkit.runs.files import write_whole
from segkit.runs.folder import write_result
from segkit.runs.read import Run

log = logging.getLogger(__name__)


def write_report(folder: Path, runs: Sequence[Run], base: Path, title: str, count: int) -> None:
    """Print the table of ``runs`` and write the report into ``folder``.

    Args:
        folder: the report's; images that a report before this one left are removed.
        runs: of ``segkit train``, at least one.
        base: the folder that the runs' folders are named from; holds ``sweep.json`` where a sweep made them.
        title: what stands above: the question that they answer.
        count: painted pictures of the best and of the worst run.

    Raises:
        UserError: folds that do not fit together; a picture that cannot be read.
    """
    comparison, about = compare(runs, base), describe(runs, base)
    by_recipe = recipes(comparison)
    for rows in filter(None, (comparison.rows, comparison.folds)):
        log.info("%s\n", screen_text(comparison, rows))
    if by_recipe.recipes:
        log.info("%s\n", aligned(by_recipe.columns()))
    from segkit.reporting.figures import figures  # imports matplotlib, after the table is there to be read
    from segkit.reporting.page import page

    drawn, painted = figures(comparison), painted_pictures(comparison, count)
    readme = entry(title, by_recipe, about, list(drawn), painted)
    say_what_is_replaced(folder, readme, growing=True)
    _remove_images(folder)
    write_whole(folder / "README.md", readme.encode())  # first: it marks the folder as the report's
    for name, png in drawn.items():
        write_whole(folder / f"{name}.png", png)
    for shown in painted:
        for name, jpeg in shown.pictures.items():
            write_whole(folder / name, jpeg)
    write_whole(folder / "report.csv", csv_text(comparison).encode())
    write_result(folder, "report", result(by_recipe, about))
    write_whole(folder / "report.html", page(title, by_recipe, about, drawn, painted).encode())
    log.info("%s\nwritten: %s", headline(comparison), folder / "report.html")


def headline(comparison: Comparison) -> str:
    """What became of the runs, and which one is best so far."""
    best = comparison.rows[0]
    score = comparison.score(best)
    if score is None:
        return f"{summary(comparison)}."
    kind = "best" if best.finished else "best so far"
    return f"{summary(comparison)}; {kind}: {comparison.label(best)}, {_scored(comparison, score)}"


def _scored(comparison: Comparison, score: float) -> str:
    return f"{comparison.monitor} {score_text(comparison.monitor, score)}"


def painted_pictures(comparison: Comparison, count: int) -> list[Shown]:
    """``count`` painted pictures of the best and of the worst finished run, the same ones where both have them."""
    rows = comparison.best_and_worst()
    found = same_pictures([row.runs[0].folder for row in rows], count)
    painted = []
    for kind, row, paths in zip(("best", "worst"), rows, found, strict=False):
        text = f"{comparison.label(row)}, {_scored(comparison, comparison.score(row) or 0.0)}"
        painted.append(Shown(kind, text, {f"{kind}_{path.stem}.jpg": small_jpeg(path) for path in paths}))
    return [shown for shown in painted if shown.pictures]


def _remove_images(folder: Path) -> None:
    """Remove the images that the report before this one shows; whatever else lies there is somebody's own."""
    readme = folder / "README.md"
    text = readme.read_text() if readme.exists() else ""
    for name in re.findall(r"!\[[^]]*\]\(([^()/]+\.(?:png|jpg))\)", text):
        (folder / name).unlink(missing_ok=True)


def entry(title: str, by_recipe: Recipes, about: About, figures: Sequence[str], painted: Sequence[Shown]) -> str:
    """The report as Markdown: question, commands, hardware and commit, tables, failures, figures, pictures."""
    comparison = by_recipe.comparison
    seconds = [row.seconds for row in comparison.rows if row.seconds is not None]
    took = f"; the sweep {about.seconds:.0f}" if about.seconds is not None else ""
    lines = [f"# {title}", "", WRITTEN, "", "```sh", *about.commands, "```", ""]
    lines += [f"- {headline(comparison)}", *made_on(about.gpu, about.commit, about.versions)]
    lines += [f"- Seconds: training of all runs together {sum(seconds):.0f}{took}"]
    lines += ["- [report.html](report.html) has the table to be sorted; [report.csv](report.csv) has all scores", ""]
    if by_recipe.recipes:
        lines += [*_recipe_lines(by_recipe), "The runs, best first:", ""]
    lines += [_table(comparison, comparison.rows), ""]
    if comparison.folds:
        lines += ["The single folds:", "", _table(comparison, comparison.folds), ""]
    failed = failures(comparison)
    if failed:
        lines += ["Failed:", "", *(f"- `{label}`: {' '.join(reason.split())}" for label, _, reason in failed), ""]
    lines += [f"![{name}]({name}.png)" for name in figures]
    for shown in painted:
        lines += ["", f"The {shown.kind} run: {shown.text}", ""]
        lines += [f"![{Path(name).stem}]({name})" for name in shown.pictures]
    return "\n".join(lines).rstrip() + "\n"


def _recipe_lines(by_recipe: Recipes) -> list[str]:
    found = by_recipe.columns()
    typed = f" (all have `{' '.join(by_recipe.common)}`)" if by_recipe.common else ""
    monitor = by_recipe.comparison.monitor
    lines = [
        f"Recipes{typed}, mean ± sample standard deviation over seeds.",
        f"{monitor} is that of the best epoch, which it has chosen itself; in the end: that of the last epoch.",
        "",
        table([[column.title for column in found], *cell_rows(found)]),
        "",
    ]
    classes = by_recipe.class_rows()
    return [*lines, "IoU of each class in percent:", "", table(classes), ""] if classes else lines


def _table(comparison: Comparison, rows: Sequence[Row]) -> str:
    found = columns(comparison, rows)
    return table([[column.title for column in found], *cell_rows(found)])


def result(by_recipe: Recipes, about: About) -> dict[str, Any]:
    """The report as ``result.json``: for each row what was swept, all scores, seconds, what became of it."""
    comparison = by_recipe.comparison
    return {
        "monitor": comparison.monitor,
        "recipes": by_recipe.result(),
        "rows": [_row(comparison, row) for row in comparison.rows],
        "folds": [_row(comparison, row) for row in comparison.folds],
        "commands": about.commands,
        "seconds": about.seconds,
        "versions": about.versions,
        "gpu": about.gpu,
        "commit": about.commit,
    }


def _row(comparison: Comparison, row: Row) -> dict[str, Any]:
    single = None if row.pooled else row.runs[0]
    return {
        "folder": comparison.place(row),
        "swept": row.values,
        "scores": dict(row.scores),
        "best_epoch": row.best_epoch,
        "seconds": row.seconds if single is None else single.result.get("seconds", {}),
        "status": row.status if single is None else single.status,
        "reason": "" if single is None else single.reason,
    }
