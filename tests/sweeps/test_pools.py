"""Which pool is made of which settings."""

from pathlib import Path
from typing import Any

import pytest

from segkit.errors import UserError
from segkit.sweeps import pools
from segkit.sweeps.local import LocalPool
from segkit.sweeps.pools import make_pool

BASIC = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What Ray's and SLURM's pools were asked for."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(pools, "RayPool", lambda *arguments: calls.append(("ray", *arguments)))
    monkeypatch.setattr(pools, "SlurmPool", lambda *arguments: calls.append(("slurm", *arguments)))
    return calls


def make(launcher: dict[str, Any], gpus_per_job: float | None = None, gpus: Any = "auto") -> Any:
    sweep = {"name": None, "gpus_per_job": gpus_per_job, "cpus_per_job": 2, "address": "auto"}
    return make_pool(launcher, sweep, {"gpus": gpus}, Path("sweep"))


@pytest.mark.parametrize(
    ("gpus_per_job", "gpus", "ray", "slurm"),
    [
        (None, "auto", None, 1),
        (None, 0, 0, 0),
        (None, 4, 4, 4),
        (None, [2, 3], 2, 2),
        (1, "auto", 1, 1),
        (2, 2, 2, 2),
        (0, 1, 0, 0),
    ],
)
def test_gpus_of_a_job(
    gpus_per_job: float | None, gpus: Any, ray: float | None, slurm: int, made: list[tuple[Any, ...]]
) -> None:
    make({"kind": "gpus"}, gpus_per_job, gpus)
    make({"kind": "slurm"}, gpus_per_job, gpus)
    assert made == [("ray", ray, 2, "auto"), ("slurm", Path("sweep/slurm"), {"kind": "slurm"}, slurm, 2)]
    assert isinstance(made[1][3], int)


def test_gpus_that_a_job_would_not_use_are_not_held() -> None:
    with pytest.raises(UserError, match=r"sweep.gpus_per_job=2: trainer.gpus=auto uses one; give trainer.gpus=2 too"):
        make({"kind": "gpus"}, 2, "auto")


def test_plain_sweeps_run_here_one_after_the_other() -> None:
    pool = make(BASIC)
    assert isinstance(pool, LocalPool)
    assert pool.slots == 1


@pytest.mark.parametrize("launcher", [{"_target_": "hydra_plugins.other.Launcher"}, {"kind": "cloud"}])
def test_other_launchers_are_refused(launcher: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^hydra/launcher: should be basic, gpus, slurm or sagemaker$"):
        make(launcher)


def test_part_of_a_gpu_is_nothing_that_slurm_gives() -> None:
    with pytest.raises(UserError, match=r"^sweep\.gpus_per_job=0\.5: SLURM gives whole GPUs"):
        make({"kind": "slurm"}, 0.5)
