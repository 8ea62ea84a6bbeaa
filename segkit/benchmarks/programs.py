"""The programs that are compared, each in a process of its own: they share nothing but the device and the pictures."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from segkit.benchmarks.datasets import labelled_pictures, repeat
from segkit.config.overrides import override
from segkit.distributed.devices import lightning_precision
from segkit.errors import UserError
from segkit.runs.read import read_result

TRAIN = ("-c", "from segkit.cli import main; main(['train'])")
"""Words for Python that are ``train.py``, also where segkit is installed without it."""

UNCOUNTED = 2
"""Epochs at the start of ``train.py`` that do not count: caches fill, kernels are compiled and chosen."""

# A terminal as far as rich can tell, so that the progress bar is drawn, and no look for updates over the network.
ENVIRONMENT = {"FORCE_COLOR": "1", "TERM": "xterm", "NO_ALBUMENTATIONS_UPDATE": "1"}

LAST_LINES = 15
"""Of a failed program's errors, these are shown."""

Case = Sequence[int]
"""Height, width, and pictures per step and process."""


def case_text(case: Case) -> str:
    """The case for people: ``160×576, batch 16``."""
    return "{}×{}, batch {}".format(*case)


class ProgramError(UserError):
    """A program that is measured has failed; the message ends with what it said last."""


@dataclass(frozen=True)
class Speed:
    """What a program reaches: of all its processes together, memory of the first one (None where it is not known)."""

    images_per_second: float
    peak_memory_gib: float | None


class Programs:
    """Runs the programs one at a time.

    Args:
        settings: of ``conf/bench.yaml``.
        scratch: folder for pictures, caches and run folders.
        gpus: those that may be used; none for the CPU.

    Attributes:
        steps: by case, what ``train.py`` has logged of its steps: whether they were recorded, or why not.
    """

    def __init__(self, settings: dict[str, Any], scratch: Path, gpus: Sequence[int]) -> None:
        self.settings, self.scratch, self.gpus = settings, scratch, list(gpus)
        self.records = labelled_pictures(settings, scratch)
        # The network as a file of the user's own: no word of a command line says all of it.
        chosen = scratch / "conf" / "model" / "measured.yaml"
        chosen.parent.mkdir(parents=True, exist_ok=True)
        chosen.write_text(yaml.safe_dump(settings["model"]))
        lightning = lightning_precision(settings["precision"], bool(gpus))
        self.precision = "bf16" if lightning == "bf16-mixed" else "fp32"
        self.steps: dict[str, str] = {}

    def epoch_pictures(self, per_step: int) -> int:
        """Pictures of an epoch whose steps take ``per_step`` each: whole batches, so that no step is a smaller one."""
        least = max(self.settings["epoch_pictures"], self.settings["epoch_steps"] * per_step)
        return per_step * math.ceil(least / per_step)

    def segkit(self, case: Case, processes: int = 1) -> Speed:
        """``train.py``, with loader, augmentation, logging and progress bar. On ``processes`` GPUs, or the CPU.

        Raises:
            ProgramError: it failed.
        """
        return _speed(self.train(case, processes, self.settings["epochs"]))

    def train(self, case: Case, processes: int, epochs: int, more: Sequence[str] = ()) -> dict[str, Any]:
        """``result.json`` of a run of ``train.py``; ``more`` are further settings.

        Raises:
            ProgramError: it failed.
        """
        folder = self.scratch / "run"
        place = override("hydra.run.dir", str(folder))
        try:
            _run([*TRAIN, *self.words(case, processes, epochs), place, *more], "train.py")
            self.steps[case_text(case)] = _kind_of_steps(folder)
            return read_result(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # its checkpoints are of gigabytes

    def words(self, case: Case, processes: int, epochs: int) -> list[str]:
        height, width, batch = case
        words = {
            "data.root": str(self._repeated(batch * processes)),
            "data.image_shape": [height, width],
            "data.batch_size": batch,
            "data.split": "none",
            "data.cache_dir": str(self.scratch / "cache"),
            "trainer.gpus": self.gpus[:processes] or 0,
            "trainer.precision": self.precision,
            "trainer.max_epochs": epochs,
            "seed": self.settings["seed"],
            "trainer.ema": self.settings["ema"],
            "predictions": 0,
        }
        groups = ["model=measured", f"optimizer={self.settings['algorithm']}"]
        return [f"--config-dir={self.scratch / 'conf'}", *groups, *starmap(override, words.items())]

    def bare(self, cases: Sequence[Case], smp: bool = False) -> list[Speed]:
        """The bare loop in each case, over as many steps as count of ``train.py``; with ``smp`` that package's network.

        Raises:
            ProgramError: it failed.
        """
        counted = self.settings["epochs"] - UNCOUNTED
        steps = {"steps": counted * self.settings["epoch_steps"]}
        spec = self._spec(cases) | {"precision": self.precision, "smp": smp} | steps
        figures = _measured("segkit.benchmarks.bare", spec)
        pairs = zip(cases, figures["cases"], strict=True)
        return [Speed(1000 * case[2] / found["step_ms"], found["peak_memory_gib"]) for case, found in pairs]

    def plain(self, cases: Sequence[Case]) -> list[Speed]:
        """The plain Lightning program in each case, on the same pictures as ``segkit``.

        Raises:
            ProgramError: it failed.
        """
        place = {"roots": [str(self._repeated(case[2])) for case in cases], "scratch": str(self.scratch)}
        # One epoch that does not count, and one that does: it compiles nothing, keeps no cache, and takes long.
        spec = self._spec(cases) | place | {"epochs": 2}
        figures = _measured("segkit.benchmarks.plain", spec)
        return [Speed(found["images_per_second"], found["peak_memory_gib"]) for found in figures["cases"]]

    def _spec(self, cases: Sequence[Case]) -> dict[str, Any]:
        gpu = self.gpus[0] if self.gpus else None
        shown = [list(case) for case in cases]
        names = ("seed", "model", "algorithm", "ema")
        return {"gpu": gpu, "cases": shown, **{name: self.settings[name] for name in names}}

    def _repeated(self, per_step: int) -> Path:
        count = self.epoch_pictures(per_step)
        root = self.scratch / f"repeated-{count}"
        if not root.exists():
            repeat(self.records, root, count)
        return root


def _kind_of_steps(folder: Path) -> str:
    """What a run's log says of its steps: ``recorded (18 layers fused)``, ``off, …``; on a CPU nothing."""
    log = folder / "train.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return next((line.partition("fast step: ")[2] for line in reversed(lines) if "fast step: " in line), "")


def _speed(result: dict[str, Any]) -> Speed:
    """Of a run's ``epochs`` and ``gpu_memory_gib``."""
    counted = [epoch["images_per_second"] for epoch in result["epochs"][UNCOUNTED:]]
    return Speed(median(counted), result.get("gpu_memory_gib"))


def _measured(module: str, spec: dict[str, Any]) -> dict[str, Any]:
    said = _run(["-m", module, json.dumps(spec)], f"python -m {module}")
    return json.loads(said.splitlines()[-1])


def as_a_user() -> dict[str, str]:
    """The environment without what a command of segkit's sets for itself: errors would be shown as tracebacks."""
    return {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}


def _run(words: Sequence[str], name: str) -> str:
    """What ``python <words>`` writes to its standard output."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=as_a_user() | ENVIRONMENT)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        raise ProgramError(f"{name} failed (exit code {done.returncode}):\n{last}")
    return done.stdout
