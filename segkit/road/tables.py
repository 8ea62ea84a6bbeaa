"""The road score as text: the leaderboard's table, for the screen and for logs."""

import math
from collections.abc import Mapping

from segkit.console import table
from segkit.metrics.confusion import percent
from segkit.road.score import SCORE_NAMES, Scores

LOSSES = ("MaxF", "AP")
"""The scores that say how good a network is; the others go with the working point, which may move."""


def leaderboard(result: Mapping[str, Scores], missing: Mapping[str, str]) -> str:
    """The table of KITTI's leaderboard, and the threshold of the working point.

    Args:
        result: scores by benchmark (``UM_ROAD``), in percent but for the threshold.
        missing: why a benchmark has no scores, by its name.
    """
    rows = [["Benchmark", *SCORE_NAMES, ""]]
    for name, scores in result.items():
        rows.append([name, *(_shown(score, scores[score]) for score in SCORE_NAMES), missing.get(name, "")])
    return table(rows, left={0, len(SCORE_NAMES) + 1})


def side_by_side(clean: Mapping[str, Scores], corrupted: Mapping[str, Scores], label: str) -> str:
    """Scores of the pictures as they are and under the corruption ``label``, and what MaxF and AP lost.

    Args:
        clean: scores by benchmark, in percent but for the threshold.
        corrupted: the same benchmarks' under the corruption.
        label: the corrupted column's heading, such as ``shadow 3``.
    """
    rows = [["Benchmark", "", "clean", label, "loss"]]
    for name in clean:
        for score in SCORE_NAMES:
            values = clean[name][score], corrupted[name][score]
            loss = percent(values[0] - values[1]) if score in LOSSES else ""
            first = name if score == SCORE_NAMES[0] else ""
            rows.append([first, score, *(_shown(score, value) for value in values), loss])
    return table(rows, left={0, 1})


def _shown(name: str, value: float) -> str:
    return f"{value:.3f}" if name == "threshold" and not math.isnan(value) else percent(value)
