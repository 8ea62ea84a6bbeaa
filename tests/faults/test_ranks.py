"""A training of two processes, each with a process that loads, and averaged weights: any of them dies, or stops."""

import json
import os
import random
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.harness import Whole, differences, environment, left, processes, run, temporary, whole
from tests.faults.subjects import TRAINING, Inputs, Subject, words
from tests.processes import Program

ALL = os.environ.get("FAULTS") == "all"
EPOCHS, BATCHES = 4, 2
PATIENCE = 120.0

TOGETHER = Subject(
    "train in two processes, with loaders and EMA",
    words("train", *TRAINING, f"trainer.max_epochs={EPOCHS}", "predictions=1", "hydra.run.dir=run",
          "data.batch_size=2", "data.workers=1", "trainer.cpu_processes=2", "trainer.ema=0.9",
          "trainer.callbacks=[{_target_: tests.faults.planted.Planted, fuse: fuse}]", data__root="kitti"),
    runs=("run",),
    spawns=2,
    below=1,
)  # fmt: skip
RESUMED = replace(TOGETHER, program=words("train", "resume=run", "trust=tests.faults.planted"))
SAID = {"rank": "(process . of the run ended with SIGKILL|a process of the run ended without a word)"}
SAID["loader"] = "a process that loads pictures has died"
VICTIMS = ("rank", "loader", "launcher")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return Inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def expected(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return whole(TOGETHER, inputs, tmp_path_factory.mktemp("undisturbed") / "here")


def light(folder: Path, number: int, whom: str, rank: int, epoch: int, batch: int) -> Path:
    """Have a signal sent at a point of the run that is to come."""
    folder.mkdir()
    told = {"signal": number, "whom": whom, "rank": rank, "epoch": epoch, "batch": batch}
    fuse = folder / "fuse"
    fuse.write_text(json.dumps(told))
    return fuse


@pytest.mark.parametrize("number", range(12 if ALL else 1))
def test_a_killed_training_goes_on_to_the_same_bits(
    number: int, inputs: Inputs, expected: Whole, tmp_path: Path, record_property
) -> None:
    record_property("area", "faults: kills of a training in two processes")
    chosen, whom, folder = random.Random(f"kill {number}"), VICTIMS[number % 3], tmp_path / "here"
    rank, epoch, batch = chosen.randrange(2), chosen.randrange(EPOCHS), chosen.randrange(BATCHES)
    fuse = light(folder, signal.SIGKILL, whom, rank, epoch, batch)
    ended = run(TOGETHER, inputs, folder)
    assert not fuse.exists(), f"no {whom} was killed"
    if whom == "launcher":
        assert ended.returncode == -signal.SIGKILL
    else:
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr
        assert re.search(f"^error: {SAID[whom]}.*\nresume=", ended.stderr, re.MULTILINE)
    assert not left(folder)
    resumed = run(RESUMED if (folder / "run/checkpoints/last.ckpt").exists() else TOGETHER, inputs, folder)
    assert resumed.returncode == 0, resumed.stderr
    assert not differences(TOGETHER, folder, expected)
    assert not left(folder)
    assert not TOGETHER.names(folder) - expected.names
    assert not temporary(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, *([signal.SIGTERM] if ALL else [])])
def test_a_rank_that_has_stopped_does_not_keep_the_run_from_ending(
    number: int, inputs: Inputs, expected: Whole, tmp_path: Path, record_property
) -> None:
    """It hangs, as with a dead disk or a debugger; the others wait for it, and the run can be ended still."""
    record_property("area", "faults: a process of a training that has stopped (SIGSTOP)")
    folder = tmp_path / "here"
    fuse = light(folder, signal.SIGSTOP, "rank", 1, 2, 0)
    program = Program(TOGETHER.program(inputs), (), folder, environment(folder), spawns=2, below=1)
    until = time.monotonic() + PATIENCE
    while not any(state(process) == "T" for process in processes(folder)):
        assert program.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not fuse.exists()
    program.send_signal(number)
    program.wait(PATIENCE)
    assert not left(folder)
    resumed = run(RESUMED, inputs, folder)
    assert resumed.returncode == 0, resumed.stderr
    assert not differences(TOGETHER, folder, expected)
    assert not temporary(folder)


def state(process: int) -> str:
    """As Linux has it; T: stopped."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
