"""Jobs as submitit hands them out: to this machine, and to a SLURM that notes what it is told."""

import sys
from pathlib import Path
from typing import Any

import pytest

from segkit.errors import UserError
from segkit.runs.read import read_result
from segkit.sweeps.job import Job, Outcome
from segkit.sweeps.local import NOT_BEGUN
from segkit.sweeps.slurm import SlurmPool, SlurmTask
from tests.fixtures import write_kitti
from tests.sweeps.jobs import TELL, Told, all_outcomes, make_job

submitit = pytest.importorskip("submitit")

LAUNCHER = {"cluster": "slurm", "partition": None, "account": None, "timeout_min": 240, "additional_parameters": None}

# SLURM's commands: sbatch keeps the script that it gets, sacct tells the state that stands in a file.
COMMANDS = {
    "srun": "",
    "sbatch": 'cat "$1" > {folder}/script; echo "Submitted batch job 41"',
    "sacct": 'echo "JobID|State|NodeList"; echo "41|$(cat {folder}/state)|node1"',
    "scancel": 'echo "CANCELLED by 0" > {folder}/state',
}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what SLURM was told, and tells."""
    folder = tmp_path / "slurm_system"
    (folder / "bin").mkdir(parents=True)
    for name, text in COMMANDS.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{text.format(folder=folder)}\n")
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"), prepend=":")
    (folder / "state").write_text("RUNNING")
    monkeypatch.setattr(submitit.SlurmJob, "_results_timeout_s", 0)  # results need not come from another machine
    submitit.SlurmJob.watcher.clear()
    return folder


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return make_job(tmp_path, tmp_path / "no_data", "trainer.max_epochs=0")


def test_on_this_machine_jobs_run_one_by_one_and_end_after_the_batch_at_hand(tmp_path: Path) -> None:
    told, root = Told(tmp_path), write_kitti(tmp_path / "kitti")
    pool = SlurmPool(tmp_path / "slurm", LAUNCHER | {"cluster": "local"}, 0, 1)
    assert pool.slots == 1
    for name in ("first", "second"):
        pool.submit(make_job(tmp_path, root, TELL, name=name))
    talk = told.begun()
    talk.sendall(b"go  ")
    assert talk.recv(5) == b"batch"
    pool.stop()
    talk.sendall(b"on  ")
    assert all_outcomes(pool, 2) == {"first": Outcome("interrupted", "SIGTERM"), "second": NOT_BEGUN}
    assert (tmp_path / "first" / "checkpoints" / "interrupted.ckpt").exists()
    assert "cores 1 " in (tmp_path / "first" / "console.log").read_text()
    assert list((tmp_path / "slurm").glob("*_log.out"))


def test_slurm_is_told_what_the_settings_say(tmp_path: Path, slurm: Path, job: Job) -> None:
    own = {"partition": "gpu", "account": "roads", "timeout_min": 90, "additional_parameters": {"qos": "high"}}
    SlurmPool(tmp_path / "slurm", LAUNCHER | own, 2, 8).submit(job)
    script = (slurm / "script").read_text().splitlines()
    said = {line.removeprefix("#SBATCH --") for line in script if line.startswith("#SBATCH ")}
    assert said >= {"partition=gpu", "account=roads", "time=90", "qos=high", "gpus-per-node=2", "cpus-per-task=8"}
    assert said >= {"nodes=1", "ntasks-per-node=1"}
    SlurmPool(tmp_path / "slurm", LAUNCHER, 0, 1).submit(job)
    script = (slurm / "script").read_text().splitlines()
    assert not [line for line in script if any(word in line for word in ("gpus", "partition", "account"))]


def test_a_job_that_slurm_ends_has_failed_with_slurms_reason(tmp_path: Path, slurm: Path, job: Job) -> None:
    pool = SlurmPool(tmp_path / "slurm", LAUNCHER, 1, 1)
    pool.submit(job)
    assert pool.wait(0) == []
    (slurm / "state").write_text("OUT_OF_MEMORY")
    outcome = all_outcomes(pool, 1)["job"]
    assert outcome.status == "failed"
    assert outcome.reason.startswith(f"SLURM job 41 ended as OUT_OF_MEMORY, see {tmp_path / 'slurm'}")
    assert read_result(job.folder)["reason"] == outcome.reason


def test_stopping_cancels_and_the_second_time_waits_no_longer(tmp_path: Path, slurm: Path, job: Job) -> None:
    pool = SlurmPool(tmp_path / "slurm", LAUNCHER, 1, 1)
    pool.submit(job)
    (slurm / "bin" / "scancel").write_text(f'#!/bin/sh\necho "$1" > {slurm}/cancelled\n')
    pool.stop()
    assert (slurm / "cancelled").read_text() == "41\n"
    assert pool.wait(0) == []  # it is still running
    pool.stop()
    assert all_outcomes(pool, 1) == {"job": Outcome("interrupted", "left to SLURM")}


def test_a_job_that_was_cancelled_is_interrupted(tmp_path: Path, slurm: Path, job: Job) -> None:
    pool = SlurmPool(tmp_path / "slurm", LAUNCHER, 1, 1)
    pool.submit(job)
    pool.stop()
    assert all_outcomes(pool, 1) == {"job": Outcome("interrupted", "cancelled")}


def test_a_job_at_its_time_limit_is_given_out_again(job: Job) -> None:
    again = SlurmTask(cpus=3).checkpoint(job)
    assert (again.function.cpus, again.args) == (3, (job,))


@pytest.mark.parametrize(
    ("launcher", "message"),
    [
        ({"cluster": "cloud"}, r"hydra\.launcher\.cluster=cloud: should be slurm or local"),
        ({"timeout_min": "long"}, r'hydra\.launcher: Parameter "timeout_min" expected type'),
    ],
)
def test_wrong_settings_are_refused(launcher: dict[str, Any], message: str, tmp_path: Path, slurm: Path) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        SlurmPool(tmp_path / "slurm", LAUNCHER | launcher, 1, 1)


def test_what_is_missing_is_said_in_one_line(
    tmp_path: Path, slurm: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = SlurmPool(tmp_path / "slurm", LAUNCHER, 1, 1)
    (slurm / "bin" / "sbatch").write_text("#!/bin/sh\necho sbatch: error: invalid partition specified: x >&2; exit 1\n")
    with pytest.raises(UserError, match=r"^hydra/launcher=slurm: the job was refused: .*invalid partition"):
        pool.submit(job)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"^hydra/launcher=slurm: no SLURM here; "):
        SlurmPool(tmp_path / "slurm", LAUNCHER, 1, 1)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"^hydra/launcher=slurm needs submitit: pip install -e '\.\[sweep\]'$"):
        SlurmPool(tmp_path / "slurm", LAUNCHER, 1, 1)
