import os

import pytest

from segkit.distributed.ranks import Ranks

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
SRUN = {
    "SLURM_JOB_ID": "1234",
    "SLURM_STEP_ID": "2",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    names = [name for name in os.environ if name.startswith(("SLURM", "MASTER"))]
    for name in (*names, *TORCHRUN, "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"):
        # Set, then removed: what the code under test sets is then taken back too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def test_a_process_that_was_started_alone(environment: pytest.MonkeyPatch) -> None:
    assert Ranks.from_environment() is None
    # The script that sbatch runs is one process, however many tasks the allocation is for.
    environment.setenv("SLURM_JOB_ID", "1234")
    environment.setenv("SLURM_NTASKS", "4")
    environment.setenv("SLURM_PROCID", "0")
    assert Ranks.from_environment() is None


def test_torchruns_processes(environment: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        environment.setenv(name, value)
    assert Ranks.from_environment() == Ranks(rank=3, size=4, local_rank=1, local_size=2, nodes=2)


def test_sruns_processes_meet_on_the_first_machine(environment: pytest.MonkeyPatch) -> None:
    for name, value in SRUN.items():
        environment.setenv(name, value)
    assert Ranks.from_environment() == Ranks(rank=3, size=4, local_rank=1, local_size=2, nodes=2)
    assert os.environ["MASTER_ADDR"] == "gpu07"
    port = os.environ.pop("MASTER_PORT")
    assert 15000 <= int(port) < 31000
    for name in TORCHRUN:
        environment.delenv(name)
    environment.setenv("SLURM_STEP_ID", "3")  # another step of the same job
    Ranks.from_environment()
    assert os.environ["MASTER_PORT"] != port
