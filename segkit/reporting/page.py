"""The report of a comparison as one HTML file that needs nothing else: no network, no other file."""

import base64
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from segkit.reporting.about import About, failures, summary
from segkit.reporting.columns import columns, score_text
from segkit.reporting.comparison import Comparison, Row
from segkit.reporting.overlays import Shown
from segkit.reporting.recipes import Recipes

TEMPLATE = "page.html.j2"


def page(title: str, by_recipe: Recipes, about: About, figures: Mapping[str, bytes], painted: Sequence[Shown]) -> str:
    """The HTML file.

    Args:
        title: its heading.
        by_recipe: the runs, and their recipes.
        about: where they come from.
        figures: PNG files by name.
        painted: the best and the worst run's pictures.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    comparison = by_recipe.comparison
    best = comparison.rows[0]
    score = comparison.score(best)
    return environment.get_template(TEMPLATE).render(
        title=title,
        summary=summary(comparison),
        as_of=time.strftime("%Y-%m-%d %H:%M"),
        best=None if score is None else (comparison.label(best), score_text(comparison.monitor, score), best.finished),
        monitor=comparison.monitor,
        tables=[
            *(
                [("Recipes: mean ± standard deviation over seeds", _recipe_table(by_recipe))]
                if by_recipe.recipes
                else []
            ),
            *(
                (heading, _table(comparison, rows))
                for heading, rows in (("Runs", comparison.rows), ("The single folds", comparison.folds))
                if rows
            ),
        ],
        failures=failures(comparison),
        figures={name: _data_uri("image/png", png) for name, png in figures.items()},
        painted=[
            (shown.kind, shown.text, {name: _data_uri("image/jpeg", jpeg) for name, jpeg in shown.pictures.items()})
            for shown in painted
        ],
        about=about,
    )


def _table(comparison: Comparison, rows: Sequence[Row]) -> dict[str, Any]:
    """What the template makes a table of; ``sorted`` is the column that the rows are sorted by."""
    found = columns(comparison, rows)
    cells = [[(column, column.cells[place], column.order[place]) for column in found] for place in range(len(rows))]
    states = ["pooled" if row.pooled else row.runs[0].status for row in rows]
    places = [comparison.place(row) for row in rows]
    return {"columns": found, "rows": list(zip(states, places, cells, strict=True)), "sorted": comparison.monitor}


def _recipe_table(by_recipe: Recipes) -> dict[str, Any]:
    """As ``_table``; the rows stand in the order of the recipes."""
    found = by_recipe.columns()
    cells = [[(column, column.cells[i], column.order[i]) for column in found] for i in range(len(by_recipe.recipes))]
    return {"columns": found, "rows": [("recipe", "", row) for row in cells], "sorted": None}


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
