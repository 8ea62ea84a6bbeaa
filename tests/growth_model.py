"""The table of the model of training on several GPUs, of the measurements in ``experiments/bench``.

``segkit bench what=growth`` writes it where there are GPUs; ``python -m tests.growth_model`` anew from the tables that
it left, after a change of the model.
"""

import csv
from pathlib import Path
from typing import Any

from segkit.benchmarks.readme import put
from segkit.benchmarks.scaling import layers_of_model, model_table
from segkit.benchmarks.table import Table, write_csv
from segkit.config.compose import composed, resolved

PLACE = Path(__file__).resolve().parents[1] / "experiments" / "bench"
ALONE, TOGETHER = "growth-batch-bf16-nhwc-pt211-h200", "growth-gpus-bf16-nhwc-pt211-2xh200"


def rows(name: str) -> list[dict[str, Any]]:
    """Of a table of numbers alone, as they were measured."""
    with (PLACE / f"{name}.csv").open() as file:
        return [{key: float(v) if "." in v else int(v) for key, v in row.items()} for row in csv.DictReader(file)]


def kept() -> Table:
    model = resolved(composed("bench", []))["model"]
    name = TOGETHER.replace("gpus", "model")
    layers = layers_of_model(model, (160, 576), bf16=True)
    return model_table(layers, rows(ALONE), rows(TOGETHER), name, "2 × NVIDIA H200")


if __name__ == "__main__":
    write_csv(kept(), PLACE)
    put(kept(), PLACE)
