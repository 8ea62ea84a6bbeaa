import pytest
import torch

from segkit.distributed.devices import (
    Processes,
    gpu_indices,
    lightning_precision,
    prediction_precision,
    training_processes,
)
from segkit.distributed.ranks import Ranks
from segkit.errors import UserError


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index=0: "Card")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("gpus", "indices"), [("auto", [0]), (0, []), (1, [0]), (2, [0, 1]), ([1], [1])])
def test_what_is_asked_for_with_two_gpus(gpus: object, indices: list[int]) -> None:
    assert gpu_indices(gpus) == indices  # type: ignore[arg-type]
    settings = {"gpus": gpus, "num_nodes": 1, "cpu_processes": 3}
    assert training_processes(**settings, ranks=None) == Processes(indices, len(indices) or 3)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("gpus", [3, [2]])
def test_a_gpu_that_is_not_there_names_those_that_are(gpus: object) -> None:
    with pytest.raises(UserError, match=r"trainer\.gpus=.*this machine has 0: Card, 1: Card"):
        gpu_indices(gpus)  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu() -> None:
    assert gpu_indices("auto") == []
    with pytest.raises(UserError, match=r"trainer\.gpus=1: this machine has no GPU.*use trainer\.gpus=0"):
        gpu_indices(1)


@pytest.mark.usefixtures("two_gpus")
def test_precision() -> None:
    assert lightning_precision("auto", on_gpu=True) == "bf16-mixed"
    assert lightning_precision("auto", on_gpu=False) == "32-true"
    assert lightning_precision("fp32", on_gpu=True) == "32-true"
    assert lightning_precision("bf16", on_gpu=False) == "bf16-mixed"


TWO_HERE = Ranks(rank=3, size=4, local_rank=1, local_size=2, nodes=2)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("gpus", "indices"), [("auto", [0, 1]), (2, [0, 1]), ([1, 0], [1, 0]), (0, [])])
def test_processes_that_others_have_started_are_used(gpus: object, indices: list[int]) -> None:
    settings = {"gpus": gpus, "num_nodes": 2, "cpu_processes": 1}
    assert training_processes(**settings, ranks=TWO_HERE) == Processes(indices, 2)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("settings", "ranks", "message"),
    [
        ({"gpus": 1, "num_nodes": 2}, TWO_HERE, "trainer.gpus=1: torchrun or srun started 2 .* give trainer.gpus=2"),
        ({"gpus": 2, "num_nodes": 1}, TWO_HERE, "trainer.num_nodes=1: processes were started on 2"),
        ({"gpus": 2, "num_nodes": 2}, None, "trainer.num_nodes=2: several machines need torchrun or srun"),
    ],
)
def test_settings_that_do_not_go_with_the_processes(settings: dict, ranks: Ranks | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        training_processes(**settings, cpu_processes=1, ranks=ranks)


@pytest.mark.parametrize(
    ("there", "precision"),
    [({"avx512_f": True}, "fp32"), ({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({}, "fp32")],
)
def test_bf16_on_cpus_that_compute_in_it(
    there: dict[str, bool], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: there)
    assert prediction_precision("auto", None) == precision
