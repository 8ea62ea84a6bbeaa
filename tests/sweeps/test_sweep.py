"""The loop of a sweep: what is run, skipped and recorded, what is said, and how it ends."""

import fcntl
import json
import os
import re
import shlex
import signal
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from segkit.commands import evaluate, runner, train
from segkit.config.overrides import split_flags
from segkit.console import duration
from segkit.errors import UserError
from segkit.sweeps import display, sweep
from segkit.sweeps.display import Display, Watched
from segkit.sweeps.job import Job, Outcome
from segkit.sweeps.plan import Plan
from tests.sweeps.fake_pool import FakePool, finished, folders, write_run

Run = Callable[[Job], Outcome]
NAMED = ["sweep.name=mine", "optimizer.learning_rate=1e-4,1e-3,1e-2"]


def by_rate(job: Job) -> Outcome:
    """The middle rate is the best."""
    return Outcome("finished", score={1e-4: 0.5, 1e-3: 0.75, 1e-2: 0.25}[job.settings["optimizer"]["learning_rate"]])


class Sweeps:
    """Runs sweeps in a fake pool, which can be looked at afterwards; None where none was made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capsys = monkeypatch, capsys
        self.pool: FakePool | None = None
        self.made_for: tuple[Any, ...] = ()

    def __call__(self, words: list[str], run: Run = by_rate, pool: type[FakePool] = FakePool) -> tuple[int, list[str]]:
        """Exit code, and the lines that were printed."""
        self.pool = None

        def make(*about: Any) -> FakePool:
            self.made_for = about
            self.pool = pool(run)
            return self.pool

        self.patch.setattr(sweep, "make_pool", make)
        self.capsys.readouterr()
        code = sweep.run_sweep(*split_flags(["-m", *words]), train.run)
        assert self.pool is None or self.pool.closed
        return code, self.capsys.readouterr().out.splitlines()

    @property
    def rates(self) -> list[float]:
        """Learning rates of the jobs that were handed to the pool."""
        return [] if self.pool is None else [job.settings["optimizer"]["learning_rate"] for job in self.pool.jobs]


@pytest.fixture
def sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sweeps:
    monkeypatch.chdir(tmp_path)
    return Sweeps(monkeypatch, capsys)


def without_times(log: Path) -> list[str]:
    return [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in log.read_text().splitlines()]


def test_a_sweep_runs_all_and_the_same_command_runs_nothing(sweeps: Sweeps, tmp_path: Path) -> None:
    code, lines = sweeps(NAMED)
    assert code == 0
    assert sweeps.rates == [1e-4, 1e-3, 1e-2]
    folder = tmp_path / "outputs/sweeps/mine"
    launcher, settings, trainer, where = sweeps.made_for
    assert launcher["_target_"].endswith("BasicLauncher")
    assert (settings["name"], trainer["monitor"], where) == ("mine", "val/iou", folder)
    best = next(name for name in folders(folder) if name.startswith("learning_rate_0.001-"))
    assert re.fullmatch(r"3 of 3 done; \d+ s", lines[-3])
    assert lines[-2] == f"best: optimizer.learning_rate=0.001: val/iou 0.7500 (outputs/sweeps/mine/{best})"
    assert lines[-1] == "segkit report sweep=mine"
    assert "finished: optimizer.learning_rate=0.01: val/iou 0.2500 in 42 s on here GPU 3" in lines
    assert without_times(folder / "sweep.log") == lines

    code, again = sweeps(NAMED)
    assert (code, sweeps.pool) == (0, None)
    assert "skipped: optimizer.learning_rate=0.001: finished earlier: val/iou 0.7500" in again
    assert re.fullmatch(r"3 of 3 done \(3 of them earlier\); \d+ s", again[-3])
    assert again[-2:] == lines[-2:]
    assert without_times(folder / "sweep.log") == [*lines, *again]
    entries = json.loads((folder / "sweep.json").read_text())
    command = "segkit train -m sweep.name=mine optimizer.learning_rate=1e-4,1e-3,1e-2"
    assert [(entry["command"], entry["launcher"], entry["jobs"]) for entry in entries] == [(command, "basic", 3)] * 2
    assert [(entry["finished"], entry["skipped"]) for entry in entries] == [(3, 0), (0, 3)]
    assert entries[0]["started"] <= entries[1]["started"]
    assert all(0 <= entry["seconds"] < 60 for entry in entries)


def test_more_values_run_what_is_new(sweeps: Sweeps) -> None:
    sweeps(["sweep.name=mine", "optimizer.learning_rate=1e-4,1e-2"])
    code, lines = sweeps(NAMED)
    assert (code, sweeps.rates) == (0, [1e-3])
    assert lines[-3].startswith("3 of 3 done (2 of them earlier); ")


def test_the_best_is_the_lowest_loss(sweeps: Sweeps) -> None:
    _, lines = sweeps([*NAMED, "trainer.monitor=val/loss"])
    assert lines[-2].startswith("best: optimizer.learning_rate=0.01: val/loss 0.2500 (")


def test_there_is_no_best_where_scores_are_of_two_kinds_or_none(sweeps: Sweeps) -> None:
    _, lines = sweeps(["sweep.name=kinds", "trainer.monitor=val/loss,val/iou"], finished(0.5))
    assert lines[-2].startswith("2 of 2 done; ")
    _, lines = sweeps(["sweep.name=none", "seed=1,2"], lambda job: Outcome("finished"))
    assert lines[-2].startswith("2 of 2 done; ")


def failing(job: Job) -> Outcome:
    if job.settings["optimizer"]["learning_rate"] == 1e-4:
        return Outcome("failed", "the loss is nan at step 2 (epoch 1)")
    return by_rate(job)


def test_a_failed_job_is_told_and_tried_again(sweeps: Sweeps, tmp_path: Path) -> None:
    code, lines = sweeps(NAMED, failing)
    assert code == 1
    assert sweeps.rates == [1e-4, 1e-3, 1e-2]
    (folder,) = (tmp_path / "outputs/sweeps/mine").glob("learning_rate_0.0001-*")
    reason = "optimizer.learning_rate=0.0001: the loss is nan at step 2 (epoch 1)"
    assert lines[-1] == f"failed: {reason} (outputs/sweeps/mine/{folder.name})"
    assert lines[-2] == "segkit report sweep=mine"
    assert lines[-4].startswith("2 of 3 done, 1 failed; ")
    code, lines = sweeps(NAMED)
    assert (code, sweeps.rates) == (0, [1e-4])
    assert not any(line.startswith("failed") for line in lines)


def test_wrong_values_of_some_jobs_fail_those(sweeps: Sweeps) -> None:
    code, lines = sweeps(["sweep.name=mine", "optimizer.learning_rate=0.01,-1"])
    assert code == 1
    assert sweeps.rates == [0.01, -1]
    assert lines[-1].startswith(
        "failed: optimizer.learning_rate=-1: optimizer.learning_rate=-1: should be greater than 0 ("
    )


def test_what_was_cut_off_is_run_and_what_runs_elsewhere_is_left_alone(sweeps: Sweeps, tmp_path: Path) -> None:
    plan = Plan(*split_flags(["-m", *NAMED]), train.run)
    cut_off, running, _ = [plan.job(values) for values in plan.combinations()]
    for job in (cut_off, running):
        write_run(job, "running", epochs=[])
        (job.folder / ".lock").touch()
    with open(running.folder / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, lines = sweeps(NAMED)
    assert (code, sweeps.rates) == (0, [1e-4, 1e-2])
    assert f"running elsewhere: {running.label} (outputs/sweeps/mine/{running.folder.name})" in lines
    assert lines[-3].startswith("2 of 3 done, 1 running elsewhere; ")


def test_one_sweep_at_a_time_in_a_folder(sweeps: Sweeps, tmp_path: Path) -> None:
    folder = tmp_path / "outputs/sweeps/mine"
    folder.mkdir(parents=True)
    with open(folder / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another sweep runs in it"):
            sweeps(NAMED)
    assert [path.name for path in folder.iterdir()] == [".lock"]
    assert sweeps.pool is None
    assert sweeps(NAMED)[0] == 0


def test_nothing_is_left_where_there_is_no_pool_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*about: Any) -> FakePool:
        raise UserError("hydra/launcher=gpus needs Ray")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep, "make_pool", none)
    with pytest.raises(UserError, match="needs Ray"):
        sweep.run_sweep(*split_flags(["-m", *NAMED]), train.run)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("signals", "stops"), [([signal.SIGINT], 1), ([signal.SIGTERM, signal.SIGINT], 2)])
def test_a_signal_ends_the_sweep_which_can_go_on(signals: list[int], stops: int, sweeps: Sweeps) -> None:
    class Signalled(FakePool):
        def wait(self, seconds: float) -> list[tuple[Job, Outcome]]:
            if self.stops < len(signals):
                os.kill(os.getpid(), signals[self.stops])
                return super().wait(seconds) if not self.stops else []
            return super().wait(seconds)

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    code, lines = sweeps(NAMED, by_rate, Signalled)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert code == 128 + signals[0]
    assert sweeps.pool is not None
    assert sweeps.pool.stops == stops
    assert "stopping: running jobs end after the batch at hand (again to end them at once)" in lines
    assert lines[-4].startswith("1 of 3 done, 2 waiting; ")
    assert lines[-2] == f"go on with: segkit train -m {' '.join(NAMED)}"
    code, lines = sweeps(NAMED)
    assert (code, sweeps.rates) == (0, [1e-3, 1e-2])


def test_a_job_that_others_ended_makes_the_sweep_incomplete(sweeps: Sweeps) -> None:
    code, lines = sweeps(["sweep.name=mine", "seed=1"], lambda job: Outcome("interrupted", "SIGTERM"))
    assert code == 1
    assert lines[-3].startswith("0 of 1 done, 1 interrupted; ")
    assert lines[-2] == "go on with: segkit train -m sweep.name=mine seed=1"


def test_a_sweep_without_a_name_goes_on_by_its_folder(sweeps: Sweeps, tmp_path: Path) -> None:
    _, lines = sweeps(["optimizer.learning_rate=1e-4,1e-3"], failing)
    (folder,) = (tmp_path / "outputs/train").iterdir()
    assert f"segkit report sweep=outputs/train/{folder.name}" in lines
    command = json.loads((folder / "sweep.json").read_text())[0]["command"]
    code, lines = sweeps(shlex.split(command)[3:])
    assert (code, sweeps.rates) == (0, [1e-4])
    assert [path.name for path in (tmp_path / "outputs/train").iterdir()] == [folder.name]


def test_jobs_that_are_the_same_are_run_once_and_said_to_be(sweeps: Sweeps) -> None:
    _, lines = sweeps(["sweep.name=mine", "trainer.compile=true,false", "optimizer.learning_rate=1e-4,1e-3"])
    assert sweeps.rates == [1e-4, 1e-3]
    assert "trainer.compile says where or how fast a job runs: jobs that differ in it alone are one job" in lines


def test_a_damaged_record_is_not_written_over(sweeps: Sweeps, tmp_path: Path) -> None:
    folder = tmp_path / "outputs/sweeps/mine"
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text("[{")
    with pytest.raises(UserError, match=r"sweep\.json is damaged"):
        sweeps(NAMED)
    assert (folder / "sweep.json").read_text() == "[{"


@pytest.mark.parametrize("name", ["WORLD_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_a_sweep_under_torchrun_is_refused(name: str, sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "2")
    with pytest.raises(UserError, match="--multirun starts processes itself; call it without torchrun or srun"):
        sweeps(NAMED)


def test_the_command_line_hands_sweeps_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    calls: list[Any] = []

    def run(*about: Any) -> int:
        calls.append(about)
        return 130

    monkeypatch.setattr(sweep, "run_sweep", run)
    with pytest.raises(SystemExit) as ended:
        runner.run_command(train, "train", ["seed=1,2", "--multirun", "--config-dir", "own"])
    assert ended.value.code == 130
    assert calls == [(["--multirun", "--config-dir", "own"], ["seed=1,2"], train.run)]
    for command, words in [(train, ["-m", "--help"]), (train, ["--cfg=job"]), (evaluate, ["-m", "--help"])]:
        with suppress(SystemExit):
            runner.run_command(command, command.__name__.split(".")[-1], words)
    assert len(calls) == 1
    monkeypatch.setattr(sweep, "run_sweep", lambda *about: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit) as ended:
        runner.run_command(train, "train", ["-m", "seed=1,2"])
    assert ended.value.code == 130
    assert list(tmp_path.iterdir()) == [tmp_path / "own"]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def strftime(self, form: str) -> str:
        return "now"


def test_the_display_on_a_terminal(sweeps: Sweeps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(file=StringIO(), force_terminal=True, width=90, height=20, legacy_windows=False)
    clock = Clock()
    monkeypatch.setattr(display, "console", screen)
    monkeypatch.setattr(display, "time", clock)
    plan = Plan(*split_flags(["-m", "seed=1,2,3,4,5", "hydra.sweep.dir=here"]), train.run)
    jobs = [plan.job(values) for values in plan.combinations()]
    (tmp_path / "here").mkdir()
    own = Display(tmp_path / "here" / "sweep.log", 5)

    def looked() -> str:
        clock.now += display.LOOK_EVERY
        own.look()
        page = Console(file=StringIO(), width=90)
        page.print(own._picture())
        return page.file.getvalue()  # type: ignore[attr-defined]

    def told(job: Job, epochs: int, score: float, **about: Any) -> None:
        rows = [{"epoch": i, "val/iou": score} for i in range(1, epochs + 1)]
        write_run(job, "running", epochs=rows, max_epochs=10, monitor="val/iou", **about)

    write_run(jobs[0], "failed", epochs=[{}], reason="an earlier attempt")
    with own:
        for job in jobs[:3]:
            own.handed_out(job)
        assert looked().splitlines()[0].rstrip() == "0 of 5 done, 5 waiting"
        told(jobs[0], 1, 0.25, host="alpha", devices="0,1")
        told(jobs[1], 0, 0.0, host="beta", devices=None)
        text = looked()
        assert [line.split() for line in text.splitlines()] == [
            ["0", "of", "5", "done,", "2", "running,", "3", "waiting"],
            ["seed=1", "epoch", "1/10", "val/iou", "0.2500", "alpha", "GPU", "0,1"],
            ["seed=2", "epoch", "0/10", "beta"],
        ]
        # Job 1 takes 10 s an epoch and has 6 to go, job 2 takes 5 s and has 4: 60 s and 20 s. 3 jobs are to come that
        # take as long as these two on average, 30 + 60 and 30 + 20 s: (80 + 3 · 70) / 2 = 145 s.
        clock.now += 30 - display.LOOK_EVERY
        told(jobs[0], 4, 0.5, host="alpha", devices="0,1")
        told(jobs[1], 6, 0.5, host="beta", devices=None)
        assert looked().splitlines()[0].rstrip() == "0 of 5 done, 2 running, 3 waiting · about 2 min 25 s left"
        clock.now += 20
        write_run(jobs[1], "finished", started=100.0, ended=150.0, host="beta", devices=None)
        own.ended(jobs[1], Outcome("finished", score=0.5))
        own.ended(jobs[2], Outcome("failed", "no memory"))
        # Of the 60 s that job 1 had to go 22 are over. The finished job took 50 s, and 2 are to come: 38 + 2 · 50 s.
        counts = "1 of 5 done, 1 failed, 1 running, 2 waiting"
        assert looked().splitlines()[0].rstrip() == f"{counts} · about 2 min 18 s left"
    assert (tmp_path / "here" / "sweep.log").read_text().splitlines() == [
        "now started: seed=1 on alpha GPU 0,1",
        "now started: seed=2 on beta",
        "now finished: seed=2: val/iou 0.5000 in 50 s on beta",
        "now failed: seed=3 in 0 s: no memory",
    ]
    # What failed is said at once, above the display; the rest is in its counts.
    printed = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())  # type: ignore[attr-defined]
    assert "failed: seed=3 in 0 s: no memory" in printed
    assert "started" not in printed


def test_an_earlier_attempts_result_is_not_this_ones(sweeps: Sweeps) -> None:
    plan = Plan(*split_flags(["-m", "seed=1", "sweep.name=mine"]), train.run)
    job = plan.job({})
    write_run(job, "running", epochs=[{"val/iou": 1.0}], max_epochs=2, monitor="val/iou")
    watched = Watched(job)
    assert not watched.look()
    assert (watched.begun, watched.row()) == (None, ["train", "starting", "", ""])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
