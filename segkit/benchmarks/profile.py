"""Where the time of a training step goes: ``train.py`` under PyTorch's profiler for some steps of its second epoch.

Everything that is shown is read from the trace that is written, a file for TensorBoard's profiler or Perfetto.
"""

import json
import logging
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch.profiler import ProfilerActivity, profile, schedule, tensorboard_trace_handler

from segkit.benchmarks.programs import Programs, case_text
from segkit.benchmarks.table import Table, file_name, named
from segkit.benchmarks.train import CASES
from segkit.config.overrides import override
from segkit.distributed.devices import one_gpu
from segkit.runs.folder import gpu_name

STEPS, WARM_UP = 10, 3
"""Steps that are traced, and those before them in which the profiler runs already but keeps nothing."""

LARGEST = 10
"""Costs that are shown."""

NAME_LENGTH = 80
"""Characters that are shown of a kernel's name: some fill a page."""

ON_GPU = {"kernel", "gpu_memcpy", "gpu_memset"}
"""Categories of a trace's events that are the GPU's work."""

log = logging.getLogger(__name__)

Interval = tuple[float, float]
"""Start and end, microseconds."""


class StepTrace(Callback):
    """Traces ``STEPS`` training steps in the middle of the second epoch.

    Args:
        folder: for the trace.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = int(trainer.num_training_batches)
        traced = min(STEPS, max(1, epoch // 2))
        before = max(0, epoch + (epoch - traced) // 2 - WARM_UP)
        on_gpu = pl_module.device.type == "cuda"
        self.profiler = profile(
            activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])],
            schedule=schedule(wait=before, warmup=WARM_UP, active=traced, repeat=1),
            on_trace_ready=tensorboard_trace_handler(self.folder, worker_name="segkit"),
        )
        self.profiler.start()

    def on_train_batch_end(self, *about: Any) -> None:
        self.profiler.step()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.profiler.stop()


def run(settings: dict[str, Any], folder: Path) -> list[Table]:
    """The ten largest costs of the first case; the trace is left in ``folder/trace``.

    Raises:
        UserError: a GPU or a data set that is not there, or a run that failed.
    """
    gpu = one_gpu(settings["gpus"], "gpus")
    programs = Programs(settings, folder / "scratch", [] if gpu is None else [gpu])
    case = (settings["cases"] or CASES)[0]
    trace = {"_target_": f"{StepTrace.__module__}.{StepTrace.__qualname__}", "folder": str(folder / "trace")}
    # Three epochs: the last one, without the profiler, says how much this costs.
    result = programs.train(case, 1, 3, [override("trainer.callbacks", [trace])])
    path = max((folder / "trace").glob("*.json"), key=lambda file: file.stat().st_mtime)
    found = read_trace(path)
    untraced = 1000 * case[2] / result["epochs"][-1]["images_per_second"]
    remarks = [
        f"{gpu_name(programs.gpus) or 'CPU'}, {programs.precision}, {case_text(case)}; "
        f"{found.steps} steps traced, {found.step_ms:.4g} ms each, {untraced:.4g} ms without the profiler",
        f"the GPU waited {found.waited:.2%} of that time"
        if found.waited is not None
        else "there is no GPU: these are the CPU's operators, without the time of those that they call",
    ]
    log.info(
        "trace: %s; open it at ui.perfetto.dev, or with TensorBoard and its profiler plugin (tensorboard --logdir %s)",
        os.path.relpath(path),
        os.path.relpath(folder),
    )
    name = file_name(named("profile", settings["model"]), programs.precision, "nhwc", gpu_name(programs.gpus))
    return [Table(name, "Profile: the largest costs of a training step", found.rows(), remarks)]


@dataclass(frozen=True)
class Trace:
    """What a trace says of its steps.

    ``costs`` are microseconds by kernel, or by CPU operator where there is no GPU; ``waited`` is the share of the time
    in which no kernel ran, None where there is no GPU.
    """

    steps: int
    step_ms: float
    costs: dict[str, float]
    waited: float | None

    def rows(self) -> list[dict[str, Any]]:
        """The ``LARGEST`` costs, and the rest together."""
        total = sum(self.costs.values())
        ordered = sorted(self.costs.items(), key=lambda cost: -cost[1])
        shown, rest = ordered[:LARGEST], ordered[LARGEST:]
        if rest:
            shown.append((f"{len(rest)} others", sum(cost for _, cost in rest)))
        return [
            {"cost": shortened(name), "ms_per_step": cost / 1000 / self.steps, "share": cost / total}
            for name, cost in shown
        ]


def read_trace(path: Path) -> Trace:
    """Read a trace in Chrome's format, as PyTorch's profiler writes it."""
    events = [event for event in json.loads(path.read_text())["traceEvents"] if event.get("ph") == "X"]
    steps = [e for e in events if e.get("cat") == "user_annotation" and e["name"].startswith("ProfilerStep#")]
    kernels = [_interval(event) for event in events if event.get("cat") == "kernel"]
    # The host runs ahead of the GPU: there the steps are where the kernels are.
    start, end = _span(kernels or [_interval(event) for event in steps])
    if kernels:
        times = [(event["name"], event["dur"]) for event in events if event.get("cat") in ON_GPU]
    else:
        operators = sorted((event for event in events if event.get("cat") == "cpu_op"), key=_thread)
        times = [time for _, of_thread in groupby(operators, _thread) for time in own_times(list(of_thread))]
    costs: dict[str, float] = defaultdict(float)
    for name, time in times:
        costs[name] += time
    waited = 1 - covered(kernels) / (end - start) if kernels else None
    return Trace(len(steps), (end - start) / 1000 / len(steps), dict(costs), waited)


def covered(intervals: Iterable[Interval]) -> float:
    """Length of the intervals' union."""
    length, reached = 0.0, -math.inf
    for start, end in sorted(intervals):
        length += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return length


def own_times(calls: Sequence[dict[str, Any]]) -> list[tuple[str, float]]:
    """Name and time of each call of one thread, without the time of those that it made itself."""
    times: list[tuple[str, float]] = []
    callers: list[tuple[int, float]] = []  # index into times, and end
    for call in sorted(calls, key=lambda call: (call["ts"], -call["dur"])):
        while callers and callers[-1][1] <= call["ts"]:
            callers.pop()
        if callers:
            name, time = times[callers[-1][0]]
            times[callers[-1][0]] = name, time - call["dur"]
        callers.append((len(times), call["ts"] + call["dur"]))
        times.append((call["name"], call["dur"]))
    return times


def shortened(name: str) -> str:
    """A kernel's name in one line of the table."""
    plain = name.removeprefix("void ")
    return plain if len(plain) <= NAME_LENGTH else plain[: NAME_LENGTH - 1] + "…"


def _interval(event: dict[str, Any]) -> Interval:
    return event["ts"], event["ts"] + event["dur"]


def _span(intervals: Sequence[Interval]) -> Interval:
    return min(start for start, _ in intervals), max(end for _, end in intervals)


def _thread(event: dict[str, Any]) -> tuple[Any, Any]:
    return event["pid"], event["tid"]
