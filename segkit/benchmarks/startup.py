"""From a command to its answer, and to the first training step, in processes of their own on the CPU.

Compared, in turns within one run:

- ``train.py --help`` and a config error, with ``import hydra`` in a fresh interpreter, which is the least that any
  program with a Hydra config waits for;
- ``train.py`` up to the end of its first step (small network, small pictures, an empty cache), split into its phases,
  with ``import torch, pytorch_lightning``, the least that any Lightning program waits for.
"""

import json
import logging
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from segkit.benchmarks.datasets import labelled_pictures, repeat
from segkit.benchmarks.programs import TRAIN, ProgramError, as_a_user
from segkit.benchmarks.table import Table, file_name, rounded
from segkit.config.overrides import override
from segkit.distributed.cores import cores
from segkit.runs.read import read_result

TURNS = 5
PICTURES = 8

SMALL = {
    "data.image_shape": [80, 256],
    "data.batch_size": 2,
    "data.split": "none",
    "model.fc_channels": 32,
    "model.weights": None,
    "trainer.gpus": 0,
    "trainer.compile": False,
    "trainer.max_epochs": 1,
    "predictions": 0,
}
"""A run that hardly computes anything."""

MISTAKE = "optimizer.learning_rate=-1"

IMPORTS = """
import json, time
stamps = [time.perf_counter()]
import torch
stamps.append(time.perf_counter())
import pytorch_lightning
stamps.append(time.perf_counter())
print(json.dumps(stamps))
"""

log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: Path) -> list[Table]:
    """Seconds to the first answer and to the first step.

    Raises:
        UserError: ``data.root`` is not KITTI road's folder.
        ProgramError: ``train.py`` failed.
    """
    scratch = folder / "scratch"
    root = scratch / "startup"
    repeat(labelled_pictures(settings, scratch), root, PICTURES)
    turns, bares = [], []
    for _ in range(TURNS):
        hydra, bare = seconds(["-c", "import hydra"])[0], imports()
        answers = {
            "--help": (seconds([*TRAIN, "--help"])[0], hydra),
            "a config error": (seconds([*TRAIN, MISTAKE], expected=2)[0], hydra),
        }
        phases = first_step(root, scratch)
        turns.append(answers | {name: (value, sum(bare)) for name, value in phases.items()})
        bares.append(bare)
    rows = []
    for what in turns[0]:
        row = {
            "what": what,
            "seconds": median(turn[what][0] for turn in turns),
            "compared_with": "import hydra" if what in answers else "import torch, pytorch_lightning",
            "their_seconds": median(turn[what][1] for turn in turns),
            "ratio": median(turn[what][0] / turn[what][1] for turn in turns),
        }
        log.info("%s: %s s", what, rounded(row["seconds"]))
        rows.append(row)
    torch, lightning = (median(column) for column in zip(*bares, strict=True))
    remarks = [
        f"{cores()} cores, medians of {TURNS} turns; the phases of a turn add up to its first step",
        f"import torch alone: {torch:.3g} s; import pytorch_lightning after it: {lightning:.3g} s",
    ]
    return [Table(file_name("startup", "fp32", "nhwc", None), "From the command to the first step", rows, remarks)]


def imports() -> tuple[float, float]:
    """Seconds of ``import torch``, and of ``import pytorch_lightning`` after it, in a fresh interpreter."""
    start, torch, lightning = json.loads(seconds(["-c", IMPORTS])[1])
    return torch - start, lightning - torch


def first_step(root: Path, scratch: Path) -> dict[str, float]:
    """Seconds of the phases of a run of ``train.py`` up to the end of its first step, and of all of them."""
    run_folder, cache = scratch / "startup_run", scratch / "startup_cache"
    places = {"data.root": str(root), "data.cache_dir": str(cache), "hydra.run.dir": str(run_folder)}
    words = [override(key, value) for key, value in (SMALL | places).items()]
    launched = time.time()
    seconds([*TRAIN, *words])
    result = read_result(run_folder)
    stepped = first_loss(run_folder / "tensorboard")
    for folder in (run_folder, cache):
        shutil.rmtree(folder)
    spent = result["seconds"]
    phases = {
        "interpreter and settings": result["started"] - launched,
        "imports": spent["import"],
        "pictures checked and cached": spent["data"],
        "network and trainer": spent["network"],
    }
    total = stepped - launched
    return phases | {"to the end of the first step": total - sum(phases.values()), "first step": total}


def first_loss(events: Path) -> float:
    """When the first loss was logged (seconds since 1970): on the CPU, at the end of the first step."""
    accumulated = EventAccumulator(str(events))
    accumulated.Reload()
    return accumulated.Scalars("train/loss")[0].wall_time


def seconds(words: Sequence[str], expected: int = 0) -> tuple[float, str]:
    """How long ``python <words>`` takes, and what it writes to its standard output.

    Raises:
        ProgramError: its exit code is not the ``expected`` one.
    """
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=as_a_user())
    taken = time.perf_counter() - started
    if done.returncode != expected:
        raise ProgramError(f"python {shlex.join(words)} ended with exit code {done.returncode}:\n{done.stderr.strip()}")
    return taken, done.stdout
