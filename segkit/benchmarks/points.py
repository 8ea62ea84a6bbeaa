"""``train.py``'s training in several cases, one after the other in one process: points of a line without a start each.

``python -m segkit.benchmarks.points '[["data.batch_size=4", …], …]' FOLDER`` takes the settings of each run and prints,
as JSON in its last line, what became of each: ``epochs`` and ``gpu_memory_gib`` of its result, or ``error``.
"""

import gc
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from segkit.config.compose import composed, resolved
from segkit.errors import UserError
from segkit.train.fit import fit


def measure(runs: list[list[str]], folder: Path) -> list[dict[str, Any]]:
    """Train with each list of settings, in a run folder ``folder`` that is removed again."""
    return [_measure(settings, folder) for settings in runs]


def _measure(settings: list[str], folder: Path) -> dict[str, Any]:
    config = resolved(composed("train", settings))
    if torch.cuda.is_available():
        torch.cuda.init()
        torch.cuda.reset_peak_memory_stats()
    folder.mkdir(parents=True)
    try:
        fitted = fit(config, folder / "checkpoints" / "last.ckpt")
    except UserError as error:
        return {"error": str(error)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        gc.collect()  # the trainer and what belongs to it hold each other
        torch.cuda.empty_cache()
    return {"epochs": fitted.epochs, "gpu_memory_gib": fitted.gpu_memory_gib}


if __name__ == "__main__":
    print("\n" + json.dumps(measure(json.loads(sys.argv[1]), Path(sys.argv[2]))))
