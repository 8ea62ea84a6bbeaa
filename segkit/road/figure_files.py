"""Which figures of an evaluation are kept: PNG files in its folder, and the same in TensorBoard."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from segkit.data.records import Record
from segkit.data.writer import png
from segkit.metrics.benchmark import Scored
from segkit.road.calibration import calibration_of
from segkit.road.evaluation import GRID, in_view
from segkit.road.figures import error_picture, precision_recall_figure
from segkit.runs.files import write_whole

OWN = (
    "figures/precision_recall_*.png",
    "figures/*/*/best_[0-9]_*.png",
    "figures/*/*/worst_[0-9]_*.png",
    "tensorboard/events.out.tfevents.*",
)
"""What an evaluation writes; whatever else lies in its folder is somebody's own."""

SHOWN = 3
"""Best pictures, and as many worst ones, that are shown of each view."""


def write_figures(
    folder: Path, scored: Mapping[str, Scored], records: Sequence[Record], headings: Mapping[str, str]
) -> None:
    """Write ``figures/precision_recall_<view>.png`` and ``figures/<condition>/<view>/{best,worst}_<rank>_<name>.png``.

    ``scored`` is by condition, ``clean`` among them; ``headings`` are those of the views.

    Raises:
        UserError: a picture cannot be written.
    """
    for pattern in OWN:  # of an evaluation before this one in the same folder
        for path in folder.glob(pattern):
            path.unlink()
    roads = {name: item.own for name, item in scored.items()}
    by_name = {record.name: record for record in records}
    with SummaryWriter(str(folder / "tensorboard")) as board:
        for view in roads["clean"].scores:
            curves = {name: road.scores[view].category_counts() for name, road in roads.items()}
            others = [item for item in curves.items() if item[0] != "clean"]
            corruption, corrupted = others[0] if others else ("", None)
            figure = precision_recall_figure(curves["clean"], headings[view], corrupted, corruption)
            _keep(folder, f"precision_recall_{view}", figure, board)
            for name, road in roads.items():
                place = f"{name.replace(' ', '_')}/{view}"
                f1, working = road.f1(view), road.working_point(view)
                for kind, names in zip(("best", "worst"), chosen(f1, SHOWN), strict=True):
                    for rank, picture in enumerate(names, start=1):
                        caption = f"{picture}  F1 {f1[picture]:.1f} at {working / 255:.2f}"
                        shown = _errors(scored[name], working, view, by_name[picture], caption)
                        _keep(folder, f"{place}/{kind}_{rank}_{picture}", shown, board)
        for view, categories in roads["clean"].result().items():
            for category, scores in categories.items():
                for key in ("MaxF", "AP"):
                    board.add_scalar(f"{view}/{category}/{key}", scores[key], 0)


def _errors(scored: Scored, working: int, view: str, record: Record, caption: str) -> NDArray[np.uint8]:
    image, confidence, own_label = scored.shown(record)
    calibration = None
    if view == "bev":
        calibration = calibration_of(record)
        assert calibration is not None
        image = GRID.warp(image, calibration)
    confidence, label = in_view(view, confidence, own_label, calibration)
    return error_picture(image, (confidence >= working).numpy(), label.numpy(), caption)


def _keep(folder: Path, name: str, picture: NDArray[np.uint8], board: SummaryWriter) -> None:
    path = folder / "figures" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, png(picture))
    board.add_image(name, picture, dataformats="HWC")


def chosen(f1: Mapping[str, float], count: int) -> tuple[list[str], list[str]]:
    """The pictures to show: at most ``count`` of the best and of the worst, none as both.

    Args:
        f1: F1 by picture; those with NaN are left out.
        count: pictures of each.

    Returns:
        The best, best first, and the worst, worst first. Equal ones are in the order of their names.
    """
    ranked = sorted((name for name in f1 if not math.isnan(f1[name])), key=lambda name: (-f1[name], name))
    best = ranked[: min(count, (len(ranked) + 1) // 2)]
    worst = sorted(ranked[len(best) :], key=lambda name: (f1[name], name))[:count]
    return best, worst
