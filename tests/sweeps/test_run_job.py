"""What a job's process makes of a run's end, with a run that does as the test says."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segkit.errors import Interrupted, Pruned, UserError
from segkit.runs.folder import RunFolder, write_result
from segkit.runs.read import read_result
from segkit.runs.study import Trial
from segkit.sweeps.job import Job, Outcome
from segkit.sweeps.run_job import record_death, run_job
from tests.sweeps.jobs import make_job

EPOCHS = [{"epoch": 1, "loss": 0.5}]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.chdir(tmp_path)  # run_job goes to the job's cwd, and does not come back
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield make_job(tmp_path, tmp_path / "no_data")
    root.handlers[:], root.level = handlers, level


def ending(job: Job, end: BaseException | float, result: dict[str, Any] | None = None) -> Job:
    """The job with a training that writes ``result``, and ends by raising or returning ``end``."""

    def train(settings: dict[str, Any], folder: RunFolder, swept: Any, trial: Trial | None) -> float:
        logging.getLogger("segkit.somewhere").info("one line of the run")
        if result is not None:
            write_result(folder.path, None, result | {"started": time.time()})
        if isinstance(end, BaseException):
            raise end
        return end

    return replace(job, train=train)


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (
            UserError("data.root=x: nothing there.\nGive another"),
            Outcome("failed", "data.root=x: nothing there; Give another"),
        ),
        (Pruned("unpromising after epoch 2"), Outcome("pruned", "unpromising after epoch 2")),
        (Interrupted(15), Outcome("interrupted", "SIGTERM")),
        (SystemExit(143), Outcome("interrupted", "SIGTERM")),
        (KeyboardInterrupt(), Outcome("interrupted", "SIGINT")),
        (MemoryError(), Outcome("failed", "MemoryError")),
        (RuntimeError("CUDA error: bad\nSet CUDA_LAUNCH_BLOCKING"), Outcome("failed", "RuntimeError: CUDA error: bad")),
        (SystemExit(1), Outcome("failed", "ended with exit code 1, see train.log")),
    ],
)
def test_every_end_is_an_outcome_and_stands_in_the_result(end: BaseException, outcome: Outcome, job: Job) -> None:
    assert run_job(ending(job, end, {"status": "running", "epochs": EPOCHS, "devices": "1"})) == outcome
    result = json.loads((job.folder / "result.json").read_text())
    assert (result["status"], result["reason"]) == (outcome.status, outcome.reason)
    assert result["epochs"] == EPOCHS
    assert result["devices"] == "1"
    assert result["ended"] >= result["started"]
    text = (job.folder / "train.log").read_text()
    assert "INFO segkit.somewhere: one line of the run" in text
    assert ("Traceback" in text) == (outcome.status == "failed" and not isinstance(end, UserError))


def test_a_wrong_value_is_told_by_the_job_itself_whose_folder_stays(
    job: Job, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = replace(job, settings=job.settings | {"trainer": job.settings["trainer"] | {"max_epochs": 0}})
    reason = "trainer.max_epochs=0: should be greater than 0"
    assert run_job(wrong) == Outcome("failed", reason)
    assert read_result(job.folder)["reason"] == reason
    assert (job.folder / ".hydra" / "config.yaml").read_text() == job.files["config.yaml"]
    assert reason in (job.folder / "train.log").read_text()
    assert capfd.readouterr() == ("", "")


def test_a_finished_run_gives_its_score_and_its_own_result(job: Job) -> None:
    assert run_job(ending(job, 0.75, {"status": "finished", "scores": {"iou": 0.75}})) == Outcome(
        "finished", score=0.75
    )
    assert read_result(job.folder)["scores"] == {"iou": 0.75}


def test_the_runs_own_words_are_left_alone_and_those_of_an_earlier_attempt_are_not(job: Job) -> None:
    own = {"status": "failed", "reason": "the loss is nan\nLower the rate", "epochs": EPOCHS, "commit": "abc"}
    assert run_job(ending(job, UserError(own["reason"]), own)).reason == "the loss is nan; Lower the rate"
    assert read_result(job.folder)["commit"] == "abc"
    # Started again, it fails before it writes anything: the reason is the new one, the epochs are still there.
    began = time.time()
    assert run_job(ending(job, UserError("data.root=x: gone"))) == Outcome("failed", "data.root=x: gone")
    result = read_result(job.folder)
    assert (result["status"], result["reason"], result["epochs"]) == ("failed", "data.root=x: gone", EPOCHS)
    assert result["started"] >= began


def test_a_trial_is_handed_to_the_run(job: Job) -> None:
    seen = []
    trial = Trial("sqlite:///x", "sweep", 3)
    run_job(replace(job, trial=trial, train=lambda settings, folder, swept, trial: seen.append(trial)))
    assert seen == [trial]


def test_a_folder_that_is_not_the_jobs_is_not_touched(job: Job) -> None:
    job = ending(job, 0.5, {"status": "finished"})
    job.folder.mkdir()
    write_result(job.folder, None, {"status": "running", "started": time.time() + 1000})
    before = (job.folder / "result.json").read_bytes()
    owner = RunFolder(job.folder)
    assert "another process is writing this run folder" in run_job(job).reason
    record_death(job, Outcome("failed", "killed"), 0.0)
    owner.close()
    (job.folder / ".hydra").mkdir()
    (job.folder / ".hydra" / "hydra.yaml").write_text("job: {name: evaluate}")
    assert "is a folder of segkit evaluate" in run_job(job).reason
    (job.folder / ".hydra" / "hydra.yaml").write_text("][")
    assert run_job(job).status == "failed"
    assert (job.folder / "result.json").read_bytes() == before


def test_a_death_is_written_down_for_the_job(job: Job) -> None:
    record_death(job, Outcome("failed", "killed by SIGKILL"), 5.0)
    result = read_result(job.folder)
    assert (result["status"], result["reason"], result["started"]) == ("failed", "killed by SIGKILL", 5.0)
