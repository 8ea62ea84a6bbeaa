"""KITTI road's benchmark for ``segkit evaluate``: which pictures, which views, anyone's maps, tables and figures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segkit.data.ahead import ahead
from segkit.data.checks import PictureError, Problem, grouped
from segkit.data.images import decode_image
from segkit.data.records import Record
from segkit.errors import UserError
from segkit.metrics.benchmark import Scored
from segkit.road.evaluation import VIEWS, RoadEvaluation
from segkit.road.layout import calibration_path
from segkit.road.saved_maps import SavedMaps
from segkit.road.tables import leaderboard, side_by_side

HEADINGS = {"perspective": "In the picture", "bev": "Bird's-eye view"}


class RoadBenchmark:
    """The road score in ``view``: perspective, bev or both. Implements :class:`segkit.metrics.benchmark.Benchmark`.

    Args:
        target: road or lane.
        view: as the command's.
        read_label: a label file's classes, uint8 (H, W).
    """

    def __init__(
        self, target: Literal["road", "lane"], view: str, read_label: Callable[[Path], NDArray[np.uint8]]
    ) -> None:
        self.target, self.view, self.read_label = target, view, read_label
        self.views = VIEWS if view == "both" else (view,)

    def check(self, records: Sequence[Record]) -> None:
        """Raises UserError when bird's-eye view is asked for and a record has no calibration."""
        bare = [record for record in records if "calibration" not in record.extra]
        if "bev" in self.views and bare:
            raise UserError(
                f"view={self.view}: {len(bare)} of {len(records)} pictures have no calibration (the first: "
                f"{calibration_path(bare[0].image)});\n"
                "view=perspective needs none"
            )

    def score(self) -> RoadEvaluation:
        return RoadEvaluation(self.target, self.views)

    def score_maps(self, folder: Path, records: Sequence[Record], on_done: Callable[[], None]) -> Scored:
        """Maps are uint8 (H, W) or of the bird's-eye grid's shape, see :class:`segkit.road.saved_maps.SavedMaps`."""
        maps, road = SavedMaps(folder, self.target), self.score()
        maps.check(records, self.views)

        def pair(record: Record) -> tuple[Tensor, Tensor]:
            assert record.label is not None
            return torch.from_numpy(maps.read(record)), torch.from_numpy(self.read_label(record.label))

        def count(record: Record) -> dict[str, Tensor] | UserError:
            try:
                return road.count(record, *pair(record))
            except UserError as error:
                return error

        unusable = []
        for record, counts in ahead(count, records):
            if isinstance(counts, UserError):
                kind = counts.kind if isinstance(counts, PictureError) else "files that cannot be used"
                unusable.append(Problem(kind, str(counts)))
            else:
                road.add(record, counts)
            on_done()
        if unusable:
            raise UserError("\n".join(["Not every picture can be scored.", *grouped(unusable)]))
        return Scored(road, None, lambda record: (decode_image(record.image), *pair(record)))

    def tables(self, result: Mapping[str, Any]) -> list[str]:
        """The leaderboard's table of each view."""
        corrupted = result.get("corrupted")
        texts = []
        for view in self.views:
            scores, missing = _divided(result[view])
            if corrupted is None:
                text = leaderboard(scores, missing)
            else:
                text = side_by_side(scores, _divided(corrupted[view])[0], corrupted["corruption"])
            texts.append(f"{HEADINGS[view]}\n{text}")
        return texts

    def write_figures(self, folder: Path, scored: Mapping[str, Scored], records: Sequence[Record]) -> None:
        from segkit.road.figure_files import write_figures  # imports matplotlib, which training does without

        write_figures(folder, scored, records, HEADINGS)


def _divided(view: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Scores and reasons of ``RoadEvaluation.result`` apart."""
    scores = {name: {key: v for key, v in row.items() if key != "reason"} for name, row in view.items()}
    return scores, {name: row["reason"] for name, row in view.items() if "reason" in row}
