"""Runs of several processes, on the CPU through gloo, against one process's."""

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fixtures import write_kitti
from tests.processes import SEGKIT, Program

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTED = (REPOSITORY / "docs" / "gpus.md").read_text()

# Without dropout, whose random numbers are each process's own, and without batch normalisation, which is of each
# process's part of the batch, the number of processes makes no difference.
SETTINGS = [
    "data.image_shape=[32,64]",
    "data.split=fraction",
    "data.workers=0",
    "augment=road",
    "augment.paste_classes=[road]",
    "model.weights=null",
    "model.fc_channels=8",
    "model.dropout=0",
    "model.skip_scale=[1,1]",
    "optimizer.learning_rate=1e-3",
    "trainer.gpus=0",
    "trainer.ema=0.9",
    "predictions=1",
]
# 15 training and 3 validation pictures: neither a whole number of batches of 4, nor of pairs.
FOUR = ["data.batch_size=4"]
TWO_OF_TWO = ["data.batch_size=2"]


def started(words: list[str], cwd: Path, code: str = SEGKIT, spawns: int = 0, **variables: str) -> Program:
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    return Program(code, words, cwd, environment, spawns=spawns)


def ended(*processes: Program) -> list[tuple[int, str]]:
    outputs = [process.communicate() for process in processes]
    return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]


def epochs(folder: Path) -> list[dict[str, float]]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert result["status"] == "finished"
    return [{name: value for name, value in epoch.items() if "second" not in name} for epoch in result["epochs"]]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("runs")
    write_kitti(work / "kitti")
    return work


def train(work: Path, folder: str, *more: str) -> list[str]:
    where = [f"data.root={work / 'kitti'}", f"data.cache_dir={work / 'cache'}", f"hydra.run.dir={work / folder}"]
    return ["train", *SETTINGS, *where, *more]


@pytest.fixture(scope="module")
def alone(work: Path) -> list[dict[str, float]]:
    ((code, said),) = ended(started(train(work, "alone", *FOUR, "trainer.max_epochs=2"), work))
    assert code == 0, said
    found = epochs(work / "alone")
    assert found[1]["mean_loss"] < found[0]["mean_loss"] - 0.01  # there is something to compare
    return found


def differing(found: list[dict[str, float]], expected: list[dict[str, float]]) -> list[tuple[int, str, float, float]]:
    """Epoch, name and both values of what is not the same.

    Sums are in another order, so some pixels may fall on the other side of a threshold: one of them is 0.004 of a road
    score, which are in percent.
    """
    assert [epoch.keys() for epoch in found] == [epoch.keys() for epoch in expected]
    pairs = [
        (number, name, value, its[name])
        for number, (mine, its) in enumerate(zip(found, expected, strict=True))
        for name, value in mine.items()
    ]
    apart = {name: 0.02 if "/road/" in name else 1e-4 for name in expected[0]}
    return [pair for pair in pairs if pair[2] != pytest.approx(pair[3], rel=1e-4, abs=apart[pair[1]])]


def test_two_processes_train_as_one_does(work: Path, alone: list[dict[str, float]]) -> None:
    more = [*TWO_OF_TWO, "trainer.cpu_processes=2", "trainer.max_epochs=2"]
    ((code, said),) = ended(started(train(work, "two", *more), work, spawns=2))
    assert code == 0, said
    assert differing(epochs(work / "two"), alone) == []
    assert len([line for line in said.splitlines() if line.startswith("Epoch")]) == 2  # one set of lines
    assert len(list((work / "two" / "tensorboard").glob("events*"))) == 2  # of rank 0, and the scores afterwards
    assert (work / "two" / "train.log").read_text().count("Epoch 2 loss") == 1


def test_two_machines_of_torchrun_train_as_one_process_does(work: Path, alone: list[dict[str, float]]) -> None:
    run = [*TWO_OF_TWO, "trainer.max_epochs=2"]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        place = f"--rdzv-endpoint=localhost:{free.getsockname()[1]}"
    shown = next(line for line in DOCUMENTED.splitlines() if line.startswith("torchrun ")).split(" train.py ")
    agent = shown[0].replace("--rdzv-endpoint=<first machine>:29500", place).replace("-per-node=4", "-per-node=1")
    assert place in agent
    options = [*agent.split()[1:], "--local-addr=localhost"]
    script = [str(REPOSITORY / "train.py"), *shown[1].split()]
    words = [*options, *script, *train(work, "nodes", *run)[1:]]
    agents = [started(words, work, "from torch.distributed.run import main; main()") for _ in range(2)]
    outcomes = ended(*agents)
    assert [code for code, _ in outcomes] == [0, 0], outcomes
    assert differing(epochs(work / "nodes"), alone) == []
    assert sorted("Epoch 2 loss" in said for _, said in outcomes) == [False, True]


def srun(work: Path, *more: str) -> list[tuple[int, str]]:
    """What srun starts on two machines."""
    step = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"}
    step |= {"SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_STEP_NODELIST": "localhost", "SLURM_LOCALID": "0"}
    shown = next(line for line in DOCUMENTED.splitlines() if line.startswith("srun ")).split(" python train.py ")[1]
    words = ["train", *shown.split(), *train(work, "srun", *TWO_OF_TWO, *more)[1:]]
    tasks = [{"SLURM_PROCID": number, "SLURM_NODEID": number} for number in ("0", "1")]
    return ended(*(started(words, work, **step, **task) for task in tasks))


def test_a_mistake_ends_all_of_sruns_processes_and_one_tells_it(work: Path) -> None:
    (code, said), (other_code, other_said) = srun(work, "trainer.max_epochs=0")
    assert (code, other_code) == (2, 0)  # srun's own code is the largest
    assert said == "error: trainer.max_epochs=0: should be greater than 0\n"
    assert other_said == ""
    assert not (work / "srun").exists()


def test_sigterm_ends_both_processes_after_the_same_epoch_and_none_is_lost(work: Path) -> None:
    more = [*TWO_OF_TWO, "trainer.cpu_processes=2", "trainer.max_epochs=1000"]
    process = started(train(work, "cut", *more), work, spawns=2)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Epoch 1 "):
            process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=180) == 143
    result = json.loads((work / "cut" / "result.json").read_text())
    assert result["status"] == "interrupted"
    last = torch.load(work / "cut" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["segkit"]["epoch"] == len(result["epochs"]) >= 1
