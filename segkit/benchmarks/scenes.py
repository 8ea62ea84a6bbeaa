"""Scenes that one core draws in a second, of either looks, in turns within one run.

The varied pictures have sizes of their own, so that pixels are counted beside them: what is compared is pixels per
second of a core's work.
"""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, get_args

from segkit.benchmarks.table import Table, file_name
from segkit.data.workers import start_worker
from segkit.road.layout import CATEGORIES
from segkit.scenes.drives import locate
from segkit.scenes.look import Looks
from segkit.scenes.render import render

TURNS = 5


def run(settings: dict[str, Any], folder: Path) -> list[Table]:
    """Draw ``pictures`` scenes of each looks in each turn; nothing is written to disk."""
    turns = []
    # In a process of its own, set up as those that draw a data set are: one thread.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), start_worker, (0,)) as alone:
        for _ in range(TURNS):
            turns.append({looks: alone.submit(_draw, settings, looks).result() for looks in get_args(Looks)})
    rows = []
    for looks in get_args(Looks):
        pixels = {name: [turn[name][0] / turn[name][1] / 1e6 for turn in turns] for name in (looks, "kitti")}
        rows.append(
            {
                "looks": looks,
                "scenes_per_second": median(settings["pictures"] / turn[looks][1] for turn in turns),
                "megapixels_per_second": median(pixels[looks]),
                "ratio_to_kitti": median(one / other for one, other in zip(pixels[looks], pixels["kitti"], strict=True)),
            }
        )
    remarks = [f"medians of {TURNS} turns of {settings['pictures']} scenes each, drawn and labelled, not written"]
    return [Table(file_name("scenes", "uint8", "nhwc", None), "Scenes drawn by one core", rows, remarks)]


def _draw(settings: dict[str, Any], looks: Looks) -> tuple[int, float]:
    """Pixels drawn and the seconds of a core's work."""
    pixels, start = 0, time.process_time()
    for number in range(settings["pictures"]):
        category = CATEGORIES[number % len(CATEGORIES)]
        pixels += render(locate(settings["seed"], "training", category, number // len(CATEGORIES), looks)).road.size
    return pixels, time.process_time() - start
