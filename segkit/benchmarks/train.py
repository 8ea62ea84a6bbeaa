"""Training speed: ``train.py`` as it is, a plain Lightning program and the bare loop, on the same pictures in one run.

``train.py`` is measured with everything that a user has: loader, augmentation, logging, progress bar. Its images per
second are those of its own epoch lines. Checkpoints are written between epochs and count for none of the programs.
"""

import logging
import math
from collections.abc import Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from segkit.benchmarks.bare import build_network, has_smp_name
from segkit.benchmarks.programs import BARE, PLAIN, SEGKIT, Case, ProgramError, Programs, Speed, case_text
from segkit.benchmarks.table import Table, file_name, named, network_name, rounded
from segkit.benchmarks.timing import count_flops, matrix_peak, peak_text
from segkit.distributed.cores import cores
from segkit.distributed.devices import one_gpu
from segkit.errors import UserError
from segkit.runs.folder import gpu_name

CASES = [[160, 576, 64], [160, 576, 16], [160, 576, 1], [384, 1248, 16]]

log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: Path) -> list[Table]:
    """One table, three rows for each case, and a fourth where ``peers`` has ``smp`` and that a network of the name.

    Raises:
        UserError: a GPU, a data set or a peer that is not there, or a program that failed.
    """
    if other := [name for name in settings["peers"] if name != "smp"]:
        raise UserError(f"peers: {', '.join(other)} does not train; what=train knows smp")
    if settings["peers"] and find_spec("segmentation_models_pytorch") is None:
        raise UserError("peers=[smp]: it is not installed; pip install segmentation-models-pytorch")
    gpu = one_gpu(settings["gpus"], "gpus")
    programs = Programs(settings, folder / "scratch", [] if gpu is None else [gpu])
    cases = settings["cases"] or CASES
    smp = "smp" in settings["peers"] and has_smp_name(settings["model"])
    speeds: list[dict[str, Speed]] = [{} for _ in cases]
    failures = []
    with closing(programs.compared(cases, smp)) as results:  # or programs would wait on while an error is told
        for program, number, found in results:
            text = case_text(cases[number])
            if isinstance(found, ProgramError):
                if program == SEGKIT:
                    raise found
                # What else is measured is worth having.
                failures.append(f"{program}, {text}: {str(found).splitlines()[-1]}")
                found = Speed(math.nan, None)
            log.info("%s, %s: %s images/s", text, program, rounded(found.images_per_second))
            speeds[number][program] = found
    device, dtype = (
        torch.device("cpu" if gpu is None else f"cuda:{gpu}"),
        torch.float32 if gpu is None else torch.bfloat16,
    )
    peak = matrix_peak(device, dtype)
    rows: list[dict[str, Any]] = []
    work = []
    for case, found_speeds in zip(cases, speeds, strict=True):
        tflop = step_tflop(case, settings["model"])
        rows += compared(case, found_speeds, tflop, peak)
        work.append(f"{tflop:.4g}")
    name = gpu_name(programs.gpus)
    remarks = [
        f"{name or 'CPU'}, {cores()} cores; {network_name(settings['model'])}, {settings['algorithm']}, "
        f"EMA {settings['ema'] or 'off'}; segkit and the bare loop in {programs.precision}",
        peak_text(peak, device, dtype),
        f"TFLOP of a step, by case: {', '.join(work)}",
        "plain Lightning: one epoch, after one that does not count",
        *(f"segkit's steps, {case}: {text}" for case, text in programs.steps.items() if text),
        *failures,
    ]
    title = "Training: images per second of each program, one after the other"
    what = named("train", settings["model"])
    return [Table(file_name(what, programs.precision, "nhwc", name), title, rows, remarks)]


def compared(case: Case, speeds: Mapping[str, Speed], tflop: float, peak: float) -> list[dict[str, Any]]:
    """Rows of the programs' speeds in one case, each set against the plain program and the bare loop.

    Args:
        case: height, width, batch.
        speeds: by program, the plain one and the bare loop among them.
        tflop: work of a step in TFLOP.
        peak: the device's matrix peak in TFLOP/s.
    """
    height, width, batch = case
    rows = []
    for program, speed in speeds.items():
        seconds = batch / speed.images_per_second
        rows.append(
            {
                "height": height,
                "width": width,
                "batch": batch,
                "program": program,
                "step_ms": 1000 * seconds,
                "images_per_second": speed.images_per_second,
                "tflops": tflop / seconds,
                "share_of_peak": tflop / seconds / peak,
                "peak_memory_gib": speed.peak_memory_gib,
                "ratio_to_plain": speed.images_per_second / speeds[PLAIN].images_per_second,
                "ratio_to_bare": speed.images_per_second / speeds[BARE].images_per_second,
            }
        )
    return rows


def step_tflop(case: Case, model: Mapping[str, Any]) -> float:
    """TFLOP of a training step without its update: forward and backward pass of the network of stock layers."""
    height, width, batch = case
    with torch.device("meta"):
        return count_flops(build_network(model), torch.empty(batch, 3, height, width)) * 1e-12
