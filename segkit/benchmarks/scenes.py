"""Scenes that one core draws in a second, of either looks, without and with labels of every object, in turns within
one run.

Varied pictures have sizes of their own; so that they can be compared, they are drawn at that of KITTI's cameras too.
"""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from segkit.benchmarks.table import Table, file_name
from segkit.data.workers import start_worker
from segkit.road.calibration import Calibration
from segkit.road.layout import CATEGORIES
from segkit.scenes.camera import RIGS, make_calibration
from segkit.scenes.drives import locate
from segkit.scenes.labels import Extra
from segkit.scenes.layout import View
from segkit.scenes.look import Looks
from segkit.scenes.render import render

TURNS = 5
BASE = "kitti"
CASES: dict[str, tuple[Looks, bool, tuple[Extra, ...]]] = {
    BASE: ("kitti", False, ()),
    "kitti, every object": ("kitti", False, ("semantic",)),
    "kitti, every object, instances, depth": ("kitti", False, ("semantic", "instance", "depth")),
    "varied": ("varied", False, ()),
    "varied, at KITTI's size": ("varied", True, ()),
}
"""The looks, whether they are drawn by one of KITTI's cameras, and the labels beside the road's."""


def run(settings: dict[str, Any], folder: Path) -> list[Table]:
    """Draw ``pictures`` scenes of each case in each turn; nothing is written to disk."""
    turns = []
    # In a process of its own, set up as those that draw a data set are: one thread.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), start_worker, (0,)) as alone:
        for _ in range(TURNS):
            turns.append(
                {
                    name: alone.submit(_draw, settings["pictures"], settings["seed"], *CASES[name]).result()
                    for name in CASES
                }
            )
    rows = [
        {
            "looks": name,
            "scenes_per_second": median(settings["pictures"] / turn[name][1] for turn in turns),
            "megapixels_per_second": median(turn[name][0] / turn[name][1] / 1e6 for turn in turns),
            "ratio_to_kitti": median(turn[BASE][1] / turn[name][1] for turn in turns),
        }
        for name in CASES
    ]
    remarks = [f"medians of {TURNS} turns of {settings['pictures']} scenes each, drawn and labelled, not written"]
    return [Table(file_name("scenes", "uint8", "nhwc", None), "Scenes drawn by one core", rows, remarks)]


def _draw(pictures: int, seed: int, looks: Looks, resized: bool, also: tuple[Extra, ...]) -> tuple[int, float]:
    """Pixels drawn and the seconds of a core's work."""
    pixels, start = 0, time.process_time()
    for number in range(pictures):
        view = locate(seed, "training", CATEGORIES[number % len(CATEGORIES)], number // len(CATEGORIES), looks)
        pixels += render(at_kittis_size(view) if resized else view, also).road.size
    return pixels, time.process_time() - start


def at_kittis_size(view: View) -> View:
    """The view as a camera of KITTI's sees it from the same place."""
    lens = make_calibration(RIGS[0], 1.65, 0.0, 0.0).matrices
    matrices = view.calibration.matrices | {name: lens[name] for name in ("P0", "P1", "P2", "P3")}
    return replace(view, drive=replace(view.drive, rig=RIGS[0]), calibration=Calibration(matrices))
