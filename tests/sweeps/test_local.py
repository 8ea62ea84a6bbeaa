"""Jobs in processes of their own on this machine, and what is left when one of them, or the sweep, is killed."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from segkit.runs.read import is_locked, read_result
from segkit.sweeps.job import Outcome
from segkit.sweeps.local import NOT_BEGUN, LocalPool, run_here
from tests.fixtures import write_kitti
from tests.sweeps.jobs import PATIENCE, TELL, Told, all_outcomes, make_job, tell


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kitti(tmp_path_factory.mktemp("data") / "kitti")


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


@pytest.fixture
def pool() -> Iterator[LocalPool]:
    pool = LocalPool()
    yield pool
    pool.close()


def test_a_job_trains_as_it_would_alone_and_the_next_one_after_it(
    root: Path, tmp_path: Path, pool: LocalPool, capfd: pytest.CaptureFixture[str]
) -> None:
    good = make_job(tmp_path, root, "data.workers=1", name="good")
    wrong = make_job(tmp_path, root, "model.dropout=7", name="wrong")
    pool.submit(good)
    pool.submit(wrong)
    outcomes = all_outcomes(pool, 2)
    result = json.loads((good.folder / "result.json").read_text())
    assert result["status"] == "finished"
    assert outcomes["good"] == Outcome("finished", score=result["scores"]["iou"])
    assert outcomes["wrong"] == Outcome("failed", "model.dropout=7: should be less than 1")
    assert read_result(wrong.folder)["started"] >= result["ended"]
    assert "Epoch 1 loss" in (good.folder / "train.log").read_text()
    assert capfd.readouterr() == ("", "")


def test_stopped_jobs_end_after_the_batch_at_hand_and_waiting_ones_are_dropped(
    root: Path, tmp_path: Path, told: Told, pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")  # a scheduler's choice, which is another for each job
    for name in ("running", "waiting"):
        pool.submit(make_job(tmp_path, root, TELL, name=name))
    talk = told.begun()
    talk.sendall(b"go  ")
    assert talk.recv(5) == b"batch"
    pool.stop()
    talk.sendall(b"on  ")
    assert all_outcomes(pool, 2) == {"running": Outcome("interrupted", "SIGTERM"), "waiting": NOT_BEGUN}
    assert read_result(tmp_path / "running")["status"] == "interrupted"
    assert (tmp_path / "running" / "checkpoints" / "interrupted.ckpt").exists()
    assert (tmp_path / "running" / "console.log").read_text() == "cores None GPUs 5\n"
    assert not (tmp_path / "waiting").exists()


def test_a_job_that_does_not_listen_is_ended_by_the_second_stop(
    root: Path, tmp_path: Path, told: Told, pool: LocalPool
) -> None:
    pool.submit(make_job(tmp_path, root, TELL))
    talk = told.begun()
    assert tell(talk, b"deaf") == b"done "
    pool.stop()
    assert tell(talk, b"ping") == b"done "
    assert pool.wait(0) == []
    pool.stop()
    assert all_outcomes(pool, 1) == {"job": Outcome("interrupted", "SIGKILL")}
    assert talk.recv(5) == b""  # what it had started is gone, too


@pytest.mark.parametrize(
    ("word", "reason"),
    [(b"kill", "killed by SIGKILL (out of memory?)"), (b"exit", "its process ended with code 7, see console.log")],
)
def test_a_job_that_dies_without_a_word_has_failed_with_all_that_it_had_started(
    word: bytes, reason: str, root: Path, tmp_path: Path, told: Told, pool: LocalPool
) -> None:
    pool.submit(make_job(tmp_path, root, TELL))
    talk = told.begun()
    talk.sendall(word)
    assert all_outcomes(pool, 1) == {"job": Outcome("failed", reason)}
    assert talk.recv(5) == b""
    result = read_result(tmp_path / "job")
    assert (result["status"], result["reason"]) == ("failed", reason)


def test_where_gpus_are_allotted_their_numbers_become_their_count(root: Path, tmp_path: Path) -> None:
    many = make_job(tmp_path, root, f"trainer.gpus={[*range(100, 150)]}".replace(" ", ""))
    outcome = run_here(many, cores_per_job=1)
    assert outcome.status == "failed"
    assert outcome.reason.startswith("trainer.gpus=50: this machine has ")


SWEEP = """
import pickle, signal, sys
from segkit.sweeps.local import LocalPool
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: print(signal.Signals(number).name, flush=True))
pool = LocalPool()
pool.submit(pickle.load(open(sys.argv[1], "rb")))
for _ in sys.stdin:
    print(pool.wait(1), flush=True)
"""


def test_signals_are_the_sweeps_alone_and_its_jobs_die_with_it(root: Path, tmp_path: Path, told: Told) -> None:
    (tmp_path / "job.pickle").write_bytes(pickle.dumps(make_job(tmp_path, root, TELL)))
    command = [sys.executable, "-c", SWEEP, str(tmp_path / "job.pickle")]
    pipe = subprocess.PIPE
    sweep = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    assert sweep.stdin is not None
    assert sweep.stdout is not None
    talk = told.begun()
    for number in (signal.SIGINT, signal.SIGTERM):  # to the whole group, as a terminal and timeout do
        os.killpg(sweep.pid, number)
        assert sweep.stdout.readline().strip() == signal.Signals(number).name
    sweep.stdin.write("look\n")
    sweep.stdin.flush()
    assert sweep.stdout.readline() == "[]\n"  # nothing has ended
    assert tell(talk, b"ping") == b"done "
    assert is_locked(tmp_path / "job")
    killed = time.monotonic()
    sweep.kill()
    assert talk.recv(5) == b""
    while is_locked(tmp_path / "job"):  # the kernel closes what a process has open one after the other
        assert time.monotonic() - killed < 5
    sweep.wait(PATIENCE)
    sweep.stdin.close()
    sweep.stdout.close()
