"""Jobs that Ray queues, on the CPU of this machine."""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from segkit.errors import UserError
from segkit.runs.read import read_result
from segkit.sweeps import ray_pool
from segkit.sweeps.job import Outcome
from segkit.sweeps.local import NOT_BEGUN
from segkit.sweeps.ray_pool import RayPool
from tests.fixtures import write_kitti
from tests.sweeps.jobs import TELL, Told, all_outcomes, make_job, tell


@pytest.fixture(autouse=True)
def as_nice_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else Ray's processes give way to all others: beside two busy ones a job would take minutes to begin."""
    monkeypatch.setenv("RAY_worker_niceness", "0")


@pytest.fixture
def two_cores() -> Iterator[RayPool]:
    """A pool with room for two jobs, on a machine of any size."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_pool, "cores", lambda: 2)
        pool = RayPool(gpus_per_job=0, cpus_per_job=1, address=None)
    yield pool
    pool.close()


def test_jobs_run_side_by_side_and_the_rest_waits(
    two_cores: RayPool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = write_kitti(tmp_path / "kitti")
    told = Told(tmp_path)
    for name in "abcde":
        two_cores.submit(make_job(tmp_path, root, TELL, name=name))
    for talk in (told.begun(), told.begun()):  # neither has gone on before both have begun
        talk.sendall(b"go  ")
        assert talk.recv(5) == b"batch"
        talk.sendall(b"on  ")
    outcomes = all_outcomes(two_cores, 2)
    for name in outcomes:
        result = read_result(tmp_path / name)
        assert result["status"] == "finished"
        assert outcomes[name] == Outcome("finished", score=result["scores"]["iou"])
        assert "cores 1 " in (tmp_path / name / "console.log").read_text()

    training, deaf = told.begun(), told.begun()
    training.sendall(b"go  ")
    assert training.recv(5) == b"batch"
    assert tell(deaf, b"deaf") == b"done "
    two_cores.stop()
    training.sendall(b"on  ")
    outcomes = all_outcomes(two_cores, 2)
    assert sorted(outcome.reason for outcome in outcomes.values()) == ["SIGTERM", NOT_BEGUN.reason]
    assert {outcome.status for outcome in outcomes.values()} == {"interrupted"}
    [stopped] = [name for name, outcome in outcomes.items() if outcome.reason == "SIGTERM"]
    # By the time that Ray has passed the signal on, the one epoch may have ended.
    assert list((tmp_path / stopped / "checkpoints").glob("*.ckpt"))
    assert tell(deaf, b"ping") == b"done "
    two_cores.stop()
    [(name, outcome)] = all_outcomes(two_cores, 1).items()
    assert outcome == Outcome("interrupted", "SIGKILL")
    assert read_result(tmp_path / name)["status"] == "interrupted"
    assert deaf.recv(5) == b""
    assert capfd.readouterr() == ("", "")


class Machines:
    """In the place of Ray: a cluster of these machines, which notes what a job asks for."""

    def __init__(self, *resources: dict[str, float]) -> None:
        self.resources = resources
        self.asked: dict[str, float] = {}
        self.up = False

    def init(self, *arguments: object, **options: object) -> SimpleNamespace:
        self.up = True
        return SimpleNamespace(address_info={"session_dir": "/no/session/of/anybody"})

    def shutdown(self) -> None:
        self.up = False

    def nodes(self) -> list[dict[str, object]]:
        return [{"Alive": True, "Resources": resources} for resources in self.resources]

    def remote(self, **options: float) -> object:
        self.asked = options
        return lambda function: function


@pytest.mark.parametrize(
    ("machine", "gpus", "asked"),
    [
        ({"CPU": 8, "GPU": 2}, None, (1, 0)),
        ({"CPU": 8, "GPU": 2}, 0.5, (0.5, 0)),
        ({"CPU": 8, "GPU": 2}, 0, (0, 3)),
        ({"CPU": 8}, None, (0, 3)),
    ],
)
def test_a_job_holds_gpus_where_there_are_any_and_else_cores(
    machine: dict[str, float], gpus: float | None, asked: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Machines(machine)
    monkeypatch.setitem(sys.modules, "ray", cluster)
    RayPool(gpus, 3, None)
    assert (cluster.asked["num_gpus"], cluster.asked["num_cpus"]) == asked
    assert cluster.asked["max_retries"] == 0


def test_more_than_there_is_is_refused_here_and_waited_for_in_a_cluster(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Machines({"CPU": 8, "GPU": 2}, {"CPU": 8, "GPU": 1})
    monkeypatch.setitem(sys.modules, "ray", cluster)
    with pytest.raises(UserError, match=r"^sweep\.gpus_per_job=3: this machine has 2 GPUs; ask for no more$"):
        RayPool(3, 1, None)
    assert not cluster.up
    with pytest.raises(UserError, match=r"^sweep\.cpus_per_job=9: this machine has 8 cores; ask for no more$"):
        RayPool(0, 9, None)
    RayPool(3, 1, "auto")
    assert "the largest machine of the cluster has 2 GPUs" in caplog.text


def test_what_cannot_be_had_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=r"^sweep\.gpus_per_job=1\.5: should be a whole number"):
        RayPool(1.5, 1, None)
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UserError, match=rf"^sweep\.address=localhost:{port}: no Ray cluster runs there; .*$"):
        RayPool(1, 1, f"localhost:{port}")
    with pytest.raises(UserError, match=r"^sweep\.address=there: should be auto, or host:port"):
        RayPool(1, 1, "there")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"^hydra/launcher=gpus needs Ray: pip install -e '\.\[sweep\]'$"):
        RayPool(1, 1, None)


def test_a_cluster_that_was_started_by_hand_is_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    ray = [str(Path(sys.executable).with_name("ray"))]
    shown = "ray start --head"
    assert shown in (Path(__file__).resolve().parents[2] / "docs" / "sweeps.md").read_text()
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # no token in the home folder of who runs the tests
    # In the foreground, and with what keeps it apart from another cluster, so that the test can end it.
    place = tempfile.mkdtemp()  # sockets want short names
    options = ["--block", "--num-cpus=1", "--port=0", f"--temp-dir={place}", "--include-dashboard=false"]
    command = [*ray, *shown.split()[1:], *options]
    head = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert head.stdout is not None
        found = (re.search(r"--address='([\d.]+:\d+)'", line) for line in head.stdout)
        address = next(match for match in found if match).group(1)
        pool = RayPool(gpus_per_job=0, cpus_per_job=1, address=address)
        try:
            # A job that fails at once: settings are checked where it runs.
            pool.submit(make_job(tmp_path, tmp_path / "nothing"))
            (outcome,) = all_outcomes(pool, 1).values()
        finally:
            pool.close()
    finally:
        head.terminate()
        head.wait()
        shutil.rmtree(place)
    assert outcome.status == "failed"
    assert "does not exist; looked for training/image_2/" in outcome.reason
