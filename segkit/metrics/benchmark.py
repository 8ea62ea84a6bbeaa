"""The score of a data set's own benchmark: what such a data set brings (``evaluation()``) for ``segkit evaluate``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segkit.data.records import Record
from segkit.metrics.class_evaluation import ClassEvaluation


class Score(Protocol):
    """What is counted of one set of pictures."""

    def count(self, record: Record, confidence: Tensor, label: Tensor) -> Any:
        """One picture's counts, for ``add``; runs in any thread.

        Args:
            record: the picture's.
            confidence: uint8 (H, W), ``round(255 · probability of class 1)``.
            label: uint8 (H, W), class numbers, 255 not scored.
        """

    def add(self, record: Record, counts: Any) -> None:
        """Add a picture of ``count``."""

    def result(self) -> dict[str, Any]:
        """The scores, as ``result.json`` has them."""


@dataclass(frozen=True)
class Scored:
    """What was scored under one condition (the pictures as they are, or corrupted).

    ``own`` is None without a benchmark, ``classes`` where only confidence of class 1 is known. ``shown(record)`` gives
    a picture again as it was scored: RGB (H, W, 3), confidence and label, on the CPU; ``predicted(record)`` its RGB,
    the predicted classes uint8 (H, W) and the label, where classes are known.
    """

    own: Any
    classes: ClassEvaluation | None
    shown: Callable[[Record], tuple[NDArray[np.uint8], Tensor, Tensor]]
    predicted: Callable[[Record], tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]] | None = None


class Benchmark(Protocol):
    """A data set's own way of scoring, for two classes of which the second is what is looked for."""

    def check(self, records: Sequence[Record]) -> None:
        """Raises UserError where the records lack what the score needs."""

    def score(self) -> Score:
        """A new, empty score."""

    def score_maps(self, folder: Path, records: Sequence[Record], on_done: Callable[[], None]) -> Scored:
        """Score anyone's confidence maps in ``folder``; ``on_done`` is called after each.

        Raises:
            UserError: maps or labels are missing or of no use: one report of all.
        """

    def tables(self, result: Mapping[str, Any]) -> list[str]:
        """For people, from ``result.json``: the scores, beside those of the corrupted pictures where there are such."""

    def write_figures(self, folder: Path, scored: Mapping[str, Scored], records: Sequence[Record]) -> None:
        """Write the figures into ``folder``; ``scored`` is by condition, ``clean`` among them.

        Raises:
            UserError: a picture cannot be written.
        """
