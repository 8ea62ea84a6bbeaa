import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from segkit.benchmarks.profile import StepTrace, Trace, covered, own_times, read_trace, shortened


def event(name: str, start: float, length: float, category: str, thread: int = 1) -> dict[str, Any]:
    return {"ph": "X", "cat": category, "name": name, "ts": start, "dur": length, "pid": 1, "tid": thread}


def written(folder: Path, events: list[dict[str, Any]]) -> Path:
    path = folder / "trace.json"
    path.write_text(json.dumps({"traceEvents": events}))
    return path


def test_the_union_of_intervals_counts_nothing_twice() -> None:
    assert covered([]) == 0
    assert covered([(5, 7), (0, 3), (1, 2), (2, 4), (7, 8)]) == 7


def test_a_calls_own_time_is_without_that_of_the_calls_within() -> None:
    calls = [("inner", 2, 3), ("outer", 0, 10), ("inner", 6, 2), ("innermost", 2, 1), ("outer", 10, 5)]
    own = own_times([event(name, start, length, "cpu_op") for name, start, length in calls])
    assert own == [("outer", 5), ("inner", 2), ("innermost", 1), ("inner", 2), ("outer", 5)]


def test_on_a_gpu_the_costs_are_its_work_and_it_waits_where_no_kernel_runs(tmp_path: Path) -> None:
    steps = [event(f"ProfilerStep#{i}", 1000 * i, 1000, "user_annotation") for i in range(2)]
    theirs = [event("ProfilerStep#0", 500, 1000, "gpu_user_annotation", 7)]
    kernels = [("gemm", 500, 1000), ("relu", 1400, 200), ("gemm", 2000, 500)]
    work = [event(name, start, length, "kernel", 7) for name, start, length in kernels]
    copies = [event("Memcpy HtoD", 1700, 100, "gpu_memcpy", 8)]
    host = [event("aten::conv2d", 0, 900, "cpu_op"), {"ph": "s", "cat": "ac2g", "name": "ac2g", "ts": 1}]
    trace = read_trace(written(tmp_path, [*steps, *theirs, *work, *copies, *host]))
    # From 500 to 2500 µs, and nothing ran between 1600 and 2000.
    assert trace == Trace(2, 1.0, {"gemm": 1500, "relu": 200, "Memcpy HtoD": 100}, pytest.approx(0.2))


def test_without_a_gpu_the_costs_are_the_operators_own_times(tmp_path: Path) -> None:
    steps = [event(f"ProfilerStep#{i}", 1000 * i, 1000, "user_annotation") for i in range(3, 5)]
    calls = [
        event("aten::linear", 3000, 100, "cpu_op"),
        event("aten::mm", 3010, 60, "cpu_op"),
        event("aten::mm", 3010, 40, "cpu_op", thread=2),
    ]
    trace = read_trace(written(tmp_path, steps + calls))
    assert trace == Trace(2, 1.0, {"aten::linear": 40, "aten::mm": 100}, None)


def test_ten_costs_are_shown_and_the_rest_together() -> None:
    trace = Trace(4, 1.0, {f"kernel {i}": 1000.0 * i for i in range(1, 13)}, 0.0)
    rows = trace.rows()
    assert [row["cost"] for row in rows] == [*(f"kernel {i}" for i in range(12, 2, -1)), "2 others"]
    assert rows[0] == {"cost": "kernel 12", "ms_per_step": 3.0, "share": pytest.approx(12 / 78)}
    assert rows[-1] == {"cost": "2 others", "ms_per_step": 0.75, "share": pytest.approx(3 / 78)}
    assert len(Trace(1, 1.0, {"only": 5.0}, None).rows()) == 1


def test_long_names_are_cut() -> None:
    assert shortened("void short<4>") == "short<4>"
    assert len(shortened("void " + "x" * 500)) == 80


class Tiny(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Conv2d(3, 2, 1)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.network(batch).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:.*no `val_dataloader`.*", "ignore:.*clears events.*")
def test_the_middle_of_the_second_epoch_is_traced(tmp_path: Path) -> None:
    pictures = DataLoader([torch.zeros(3, 8, 8)] * 24)  # type: ignore[arg-type]
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        callbacks=[StepTrace(str(tmp_path / "trace"))],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Tiny(), pictures)
    (path,) = (tmp_path / "trace").glob("*.json")
    steps = [e["name"] for e in json.loads(path.read_text())["traceEvents"] if "ProfilerStep" in e["name"]]
    assert steps == [f"ProfilerStep#{i}" for i in range(31, 41)]  # of 24…47
    trace = read_trace(path)
    assert trace.steps == 10
    assert any("conv" in name for name in trace.costs)
