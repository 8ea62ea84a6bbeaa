"""``hydra/launcher=sagemaker``: a sweep's jobs as training jobs, run on this machine in the container's layout."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from segkit.runs.read import read_result
from tests.commands.in_process import segkit
from tests.fixtures import write_kitti
from tests.remote.server import Bucket
from tests.sagemaker.container import HELD
from tests.sagemaker.projects import IMAGE, OUTPUT, ROLE, ROOT, SMALL, documented, git
from tests.sagemaker.service import Service

WHERE = [f"hydra.launcher.role={ROLE}", f"hydra.launcher.image={IMAGE}", f"hydra.launcher.output={OUTPUT}"]
POLL = "hydra.launcher.poll_seconds=1"
SWEEP = ["train", "-m", "hydra/launcher=sagemaker", *WHERE, POLL, "sweep.name=first", ROOT, *SMALL]


@pytest.fixture
def road(bucket: Bucket, tmp_path: Path) -> Path:
    root = write_kitti(tmp_path / "road", count=4)
    bucket.put_tree(root, "data_road")
    return root


def jobs(clone: Path) -> dict[str, str]:
    runs = (clone / "outputs" / "sweeps" / "first").glob("*/result.json")
    return {run.parent.name.rpartition("-")[0]: read_result(run.parent)["status"] for run in runs}


def test_a_sweep_keeps_to_its_limit_is_skipped_when_finished_and_reported(
    bucket: Bucket,
    road: Path,
    clone: Path,
    tmp_path: Path,
) -> None:
    service = Service(bucket, tmp_path / "containers")
    small = [*SMALL, POLL, "sweep.name=first", "optimizer.learning_rate=1e-3,1e-4", "hydra.launcher.max_jobs=1"]
    words = ["train", *documented("python train.py -m hydra/launcher=sagemaker"), *small]
    told = segkit(*words, cwd=clone)
    assert told.code == 0, told.out + told.err + "".join(job.container.printed for job in service.jobs.values())
    assert service.most == 1
    assert set(jobs(clone).values()) == {"finished"}
    assert "each job: 1 × ml.g6.xlarge for at most 24 h, at most $27.12 on demand" in told.out
    assert "billed for 120 s, about $0.04" in told.out
    assert "best: optimizer.learning_rate=0.00" in told.out
    sent = [request["HyperParameters"] for request in service.requests]
    assert sorted(request["optimizer.learning_rate"] for request in sent) == ["0.0001", "0.001"]
    assert not any(key.startswith(("sweep", "hydra", "data.root")) for request in sent for key in request)
    assert not list((clone / "outputs" / "sweeps").rglob("last.ckpt"))
    again = segkit(*words, cwd=clone)
    assert (again.code, len(service.requests)) == (0, 2), again.out
    assert segkit("report", "sweep=first", cwd=clone).code == 0
    assert len((clone / "outputs" / "sweeps" / "first" / "report" / "report.csv").read_text().splitlines()) == 3
    # From another machine, by what lies in the bucket.
    assert segkit("report", f"sweep={OUTPUT}/sweeps/first", cwd=tmp_path).code == 0


def test_ctrl_c_stops_the_jobs_and_the_same_command_goes_on(
    bucket: Bucket, road: Path, clone: Path, tmp_path: Path
) -> None:
    (clone / "held.py").write_text(HELD)
    git(clone, "add", "held.py")
    service = Service(bucket, tmp_path / "containers")

    def interrupt() -> None:
        while not any((job.base / "work" / "held").exists() for job in list(service.jobs.values())):
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)
        (job,) = service.jobs.values()
        while not job.stopped:
            threading.Event().wait(0.05)
        (job.base / "work" / "go").touch()

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    words = [*SWEEP, "trainer.callbacks=[{_target_: held.Hold}]", "trainer.max_epochs=2", "seed=1,2"]
    one = [*words, "hydra.launcher.max_jobs=1"]
    told = segkit(*one, cwd=clone)
    thread.join()
    assert told.code == 130, told.out
    assert "go on with: segkit train -m hydra/launcher=sagemaker" in told.out
    assert jobs(clone) == {"seed_1": "interrupted"}
    service.hold = False
    told = segkit(*one, cwd=clone)
    assert told.code == 0, told.out
    assert jobs(clone) == {"seed_1": "finished", "seed_2": "finished"}
    first, again, other = service.jobs.values()
    assert first.request["CheckpointConfig"] == again.request["CheckpointConfig"] != other.request["CheckpointConfig"]
    assert "last.ckpt" in again.container.printed
    assert "last.ckpt" not in other.container.printed


def test_failures_are_told_and_tried_again(
    bucket: Bucket,
    road: Path,
    clone: Path,
    tmp_path: Path,
) -> None:
    service = Service(bucket, tmp_path / "containers", failure="CapacityError: no ml.g6.xlarge")
    words = [*SWEEP, "seed=1"]
    told = segkit(*words, cwd=clone)
    assert told.code == 1
    assert "CapacityError: no ml.g6.xlarge" in told.out
    assert jobs(clone) == {"": "failed"}
    service.failure = ""
    service.jobs.clear()
    told = segkit(*words, cwd=clone)
    assert told.code == 0, told.out
    assert jobs(clone) == {"": "finished"}


def test_what_was_begun_elsewhere_goes_on_and_what_still_runs_is_not_started_twice(
    bucket: Bucket,
    road: Path,
    clone: Path,
    tmp_path: Path,
) -> None:
    here = ["train", "-m", "sweep.name=first", *SMALL, "trainer.max_epochs=2", f"data.root={road}"]
    assert segkit(*here, cwd=clone).code == 0
    (run,) = (clone / "outputs" / "sweeps" / "first").glob("*/result.json")
    result = read_result(run.parent)
    # As if it had been killed while it painted.
    run.write_text(json.dumps(result | {"status": "running", "scores": {}}))
    service = Service(bucket, tmp_path / "containers")
    told = segkit(*SWEEP, "trainer.max_epochs=2", cwd=clone)
    (job,) = service.jobs.values()
    assert told.code == 0, told.out
    assert "going on from" in job.container.printed
    assert read_result(run.parent)["epochs"][0]["loss"] == result["epochs"][0]["loss"]
    # A sweep that died has left a job behind, which is still at work.
    run.unlink()
    asked: list[int] = []  # it has ended once it was asked often enough

    def poll() -> int | None:
        asked.append(1)
        return None if len(asked) < 4 else 0

    job.container.process.poll = poll  # type: ignore[method-assign]
    assert segkit(*SWEEP, "trainer.max_epochs=2", cwd=clone).code == 0
    assert len(service.requests) == 1
    assert jobs(clone) == {"": "finished"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["hydra.launcher.role=null"], "sagemaker.role is missing"),
        (["hydra.launcher.max_jobs=0"], "hydra.launcher.max_jobs=0: "),
        (["hydra.launcher.instance_count=2"], "give trainer.num_nodes as many"),
    ],
)
def test_mistakes_are_a_line(bucket: Bucket, clone: Path, words: list[str], line: str) -> None:
    told = segkit(*SWEEP, *words, cwd=clone)
    assert told.code == 2
    assert line in told.err
    assert "Traceback" not in told.err
