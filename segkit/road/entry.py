"""Road scores of one or many evaluations, side by side, for the lab book."""

from collections.abc import Mapping, Sequence
from typing import Any

from segkit.road.evaluation import VIEWS
from segkit.road.score import SCORE_NAMES

SCORES = SCORE_NAMES[:-1]
"""All but the threshold."""


def has_road_scores(result: Mapping[str, Any]) -> bool:
    """Whether a ``result.json`` holds scores of this benchmark."""
    return any(view in result for view in VIEWS)


def score_rows(names: Sequence[str], results: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The table's rows, its head first: every category of a single evaluation, the total of several.

    Scores of the clean pictures, which do not change with the severity, stand there once for each network.

    Args:
        names: what tells the evaluated networks apart.
        results: their ``result.json``.
    """
    rows = [["network", "view", "benchmark", "pictures", *SCORES, "MaxF lost"]]
    for view in VIEWS:
        for name, result in zip(names, results, strict=True):
            clean, corrupted = result.get(view, {}), result.get("corrupted", {})
            for benchmark in list(clean) if len(results) == 1 else list(clean)[-1:]:
                row = [name, view, benchmark, "clean", *_shown(clean[benchmark]), ""]
                rows += [row] if row not in rows else []
                if corrupted:
                    worse = corrupted[view][benchmark]
                    known = None not in (clean[benchmark]["MaxF"], worse["MaxF"])
                    lost = _number(clean[benchmark]["MaxF"] - worse["MaxF"] if known else None)
                    rows.append([name, view, benchmark, corrupted["corruption"], *_shown(worse), lost])
    used = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    return [[row[i] for i in used] for row in rows]


def _shown(scores: Mapping[str, Any]) -> list[str]:
    return [_number(scores[name]) for name in SCORES]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
