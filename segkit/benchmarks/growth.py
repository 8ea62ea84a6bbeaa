"""What growing costs: training against picture area, batch and number of GPUs; the picture cache against its size.

Throughput and memory are those of ``train.py``'s own training, with its loader and logging.
"""

import logging
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from segkit.benchmarks.datasets import vary
from segkit.benchmarks.programs import Case, ProgramError, Programs, Speed, case_text
from segkit.benchmarks.scaling import layers_of_model, model_table
from segkit.benchmarks.table import Table, file_name, named, network_name, rounded
from segkit.data.records import Record
from segkit.distributed.cores import cores
from segkit.distributed.devices import gpu_indices
from segkit.road.dataset import KittiRoadDataModule
from segkit.runs.folder import gpu_name

AREAS = [[96, 320, 16], [160, 576, 16], [256, 832, 16], [384, 1248, 16]]
BATCHES = [[160, 576, batch] for batch in (1, 2, 4, 8, 16, 32, 64, 128)]
ON_EACH_GPU = [160, 576, 16]
CACHED_SHAPE = [160, 576]

log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: Path) -> list[Table]:
    """Tables against area and batch (or of ``cases``, where these are given), number of GPUs, and pictures cached.

    On GPUs one of what more of them should do besides, see `segkit.benchmarks.scaling`.

    Raises:
        UserError: GPUs or a data set that are not there.
    """
    auto = settings["gpus"] == "auto"
    gpus = list(range(torch.cuda.device_count())) if auto else gpu_indices(settings["gpus"], "gpus")
    programs = Programs(settings, folder / "scratch", gpus)
    cases = settings["cases"]
    lines = {"area": AREAS, "batch": BATCHES} if cases is None else {"cases": cases}
    points = {along: [(case, 1) for case in line] for along, line in lines.items()}
    case = ON_EACH_GPU if cases is None else cases[0]
    if len(gpus) > 1:
        points["gpus"] = [(case, count) for count in doublings(len(gpus))]
    model = settings["model"]
    # Before all that takes long: of a network of the user's own it may fail.
    layers = layers_of_model(model, case[:2], programs.precision == "bf16") if gpus else []
    measured = {along: training_table(programs, along, line) for along, line in points.items()}
    tables = list(measured.values())
    if gpus:
        name = gpu_name(gpus)
        assert name is not None
        alone = measured["batch" if cases is None else "cases"].rows
        together = measured["gpus"].rows if "gpus" in measured else []
        stem = file_name(named("growth-model", model), programs.precision, "nhwc", name)
        tables.append(model_table(layers, alone, together, stem, name))
    return [*tables, cache_table(programs.records, settings["cache_pictures"], folder / "scratch")]


def doublings(most: int) -> list[int]:
    """1, 2, 4, … and ``most``."""
    return [*(2**i for i in range((most - 1).bit_length())), most]


def training_table(programs: Programs, along: str, points: Sequence[tuple[Case, int]]) -> Table:
    """What training reaches in each case, on so many GPUs (1 also stands for the CPU); no figures where it fails."""
    rows: list[dict[str, Any]] = []
    failures = []
    for case, processes in points:
        height, width, batch = case
        try:
            speed = programs.segkit(case, processes)
        except ProgramError as error:
            failures.append(f"{case_text(case)}: {str(error).splitlines()[-1]}")
            speed = Speed(math.nan, None)
        rate = speed.images_per_second
        log.info("%s, %d at a time: %s images/s", case_text(case), processes, rounded(rate))
        rows.append(
            {
                "height": height,
                "width": width,
                "batch_per_gpu": batch,
                "gpus": min(processes, len(programs.gpus)),
                "step_ms": 1000 * batch * processes / rate,
                "images_per_second": rate,
                "megapixels_per_second": rate * height * width * 1e-6,
                "peak_memory_gib": speed.peak_memory_gib,
                "ratio_to_first": rate / (rows[0]["images_per_second"] if rows else rate),
            }
        )
    name = gpu_name(programs.gpus if along == "gpus" else programs.gpus[:1])
    model = programs.settings["model"]
    remarks = [f"{name or 'CPU'}, {cores()} cores; {network_name(model)}, {programs.precision}", *failures]
    stem = file_name(named(f"growth-{along}", model), programs.precision, "nhwc", name)
    return Table(stem, f"Growth: training, along {along}", rows, remarks)


def cache_table(records: Sequence[Record], counts: Sequence[int], scratch: Path) -> Table:
    """Size and fill time of the picture cache for so many different pictures, and the time to find them all there."""
    rows = []
    for count in counts:
        root, cache = scratch / "varied", scratch / "varied_cache"
        vary(records, root, count)
        filled, found = _prepare_seconds(root, cache), _prepare_seconds(root, cache)
        row = {
            "pictures": count,
            "files_gib": _gib(root),
            "cache_gib": _gib(cache),
            "fill_seconds": filled,
            "filled_per_second": count / filled,
            "found_seconds": found,
            "found_per_second": count / found,
        }
        log.info("%d pictures: cache filled in %s s, found in %s s", count, rounded(filled), rounded(found))
        rows.append(row)
        for folder in (root, cache):
            shutil.rmtree(folder)
    height, width = CACHED_SHAPE
    remarks = [
        f"{cores()} cores; {height}×{width}; the picture files had just been written, so they were read from memory"
    ]
    title = "Growth: the picture cache, filled, and found filled by the next run"
    return Table(file_name("growth-cache", "uint8", "nhwc", None), title, rows, remarks)


def _prepare_seconds(root: Path, cache: Path) -> float:
    data = KittiRoadDataModule(root, CACHED_SHAPE, batch_size=1, split="none", cache_dir=cache)
    started = time.perf_counter()
    data.prepare()
    return time.perf_counter() - started


def _gib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**30
