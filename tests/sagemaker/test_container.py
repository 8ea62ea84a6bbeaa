"""A training job's layout: what train.py makes of it, where it leaves what, and that it goes on."""

import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import segkit
from segkit.errors import Interrupted, UserError
from segkit.runs.read import read_result
from segkit.sagemaker import container
from segkit.sagemaker.container import TrainingJob
from segkit.sagemaker.request import METRICS
from segkit.training.callbacks.progress import epoch_line
from tests.commands.in_process import segkit as in_process
from tests.fixtures import write_kitti
from tests.sagemaker.container import HELD, HOLD, SMALL, TRAIN, Container, lay_out, needs_namespaces


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "ml"))
    monkeypatch.setattr(container, "_gpus", lambda: 0)
    return tmp_path / "ml"


def arguments(base: Path, hyperparameters: dict[str, str], *typed: str, **layout: Any) -> list[str]:
    lay_out(base, hyperparameters, **layout)
    job = TrainingJob.here()
    assert job is not None
    return job.arguments(list(typed))


def soon(holds: Callable[[], bool], running: Container) -> None:
    for _ in range(12000):
        if holds():
            return
        assert running.process.poll() is None, running.printed
        threading.Event().wait(0.01)
    pytest.fail(running.printed)


def weights(path: Path) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return loaded


def test_outside_of_a_job_nothing_is_noticed(base: Path) -> None:
    assert TrainingJob.here() is None


def test_hyperparameters_become_overrides(base: Path) -> None:
    given = {
        "model": "unet",
        "model.encoder": '"resnet18"',  # the SDK's JSON
        "optimizer__learning_rate": "1e-3",
        "data.image_shape": "[32, 64]",
        "init_from": "s3://roads/a b",
        "augment.hue": "null",
        "overrides": "trainer.max_epochs=3 'name=a b'",
        "sagemaker_program": '"train.py"',
        "_tuning_objective_metric": "val/iou",
    }
    words = arguments(base, given, "--resolve", "name=c")
    assert words == [
        "--resolve",
        "model=unet",
        "model.encoder=resnet18",
        "optimizer.learning_rate=1e-3",
        "data.image_shape=[32,64]",
        "init_from='s3://roads/a b'",
        "augment.hue=null",
        "trainer.max_epochs=3",
        "name=a b",
        "name=c",
        f"data.root={base}/input/data/training",
        f"hydra.run.dir={base}/checkpoints",
    ]


def test_channels_hosts_and_gpus_become_settings(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_gpus", lambda: 4)
    words = arguments(base, {}, channels=["code", "testing", "training"], hosts=["algo-2", "algo-1"])
    assert words[:3] == [f"data.root={base}/input/data", "trainer.num_nodes=2", "trainer.gpus=4"]
    assert arguments(base, {"data.root": "s3://roads/a.zip", "trainer.gpus": "1"})[:2] == [
        "data.root=s3://roads/a.zip",
        "trainer.gpus=1",
    ]


def test_a_run_that_is_there_is_gone_on_with(base: Path) -> None:
    (base / "checkpoints" / ".hydra").mkdir(parents=True)
    (base / "checkpoints" / ".hydra" / "config.yaml").touch()
    words = arguments(base, {"+model.share": "1", "++model.dropout": "0.1", "seed": "1"})
    assert words[:3] == [f"resume={base}/checkpoints", "++model.dropout=0.1", "seed=1"]


def test_mistakes_are_told_where_sagemaker_shows_them(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="CheckpointConfig"):
        arguments(base, {"resume": "s3://roads/run"})
    (base / "input" / "config" / "hyperparameters.json").write_text("{")
    with pytest.raises(UserError, match=r"hyperparameters.json: is no JSON"):
        TrainingJob.here()
    lay_out(base, SMALL | {"model.drop": "1"})
    told = in_process("train", cwd=tmp_path)
    failure = (base / "output" / "failure").read_text()
    assert (told.code, told.err) == (2, f"error: {failure}\n")
    assert failure == "model.drop: no such setting; did you mean model.dropout?"
    lay_out(base, SMALL)
    assert in_process("train", cwd=tmp_path).code == 2
    assert "image_2" in (base / "output" / "failure").read_text()


def test_sigterm_before_training_is_no_failure(base: Path) -> None:
    lay_out(base, SMALL)
    job = TrainingJob.here()
    assert job is not None
    with pytest.raises(Interrupted, match="SIGTERM"), job.collected():
        os.kill(os.getpid(), signal.SIGTERM)
    assert not (base / "output").exists()
    with pytest.raises(ZeroDivisionError), job.collected():
        1 / 0  # noqa: B018
    assert (base / "output" / "failure").read_text() == "ZeroDivisionError: division by zero"


def test_results_lie_where_sagemaker_collects_them(base: Path, tmp_path: Path) -> None:
    lay_out(base, SMALL, channels=["code", "training"])
    write_kitti(base / "input" / "data" / "training")
    done = in_process("train", cwd=tmp_path)
    assert done.code == 0, done.err
    model, data = base / "model", base / "output" / "data"
    assert read_result(model)["status"] == read_result(data)["status"] == "finished"
    assert len(list((data / "predictions" / "overlay").iterdir())) == 2
    assert list((base / "output" / "tensorboard").glob("events.*"))
    assert not (base / "output" / "failure").exists()
    assert not list(model.rglob("last.ckpt"))
    image = torch.zeros(40, 90, 3, dtype=torch.uint8).numpy()
    assert segkit.load(model).predict(image)[0].shape == (40, 90)


def test_the_line_of_an_epoch_fits_the_metrics() -> None:
    figures = {"loss": 0.5, "mean_loss": 0.25, "val/loss": float("nan"), "val/iou": 0.75, "val/accuracy": 1.0}
    line = epoch_line(12, figures | {"images_per_second": 99.5})
    found = {name: re.search(regex, line) for name, regex in METRICS.items()}
    values = {name: match and match[1] for name, match in found.items()}
    assert list(values.values()) == ["0.5000", "0.2500", "99.5", "nan", "0.7500", "1.0000"]
    monitored = epoch_line(1, figures | {"images_per_second": 1.0, "val/road/bev/MaxF": 0.125}, "val/road/bev/MaxF")
    assert "  val/road/bev/MaxF 0.1250 | " in monitored


@pytest.mark.parametrize("hosts", [["algo-1"], ["127.0.0.1", "localhost"]], ids=["one_host", "two_hosts"])
def test_sigterm_as_process_1_saves_and_the_next_attempt_ends_with_the_same_weights(
    tmp_path: Path, hosts: list[str]
) -> None:
    needs_namespaces()
    given = SMALL | HOLD | {"trainer.max_epochs": "3", "model.dropout": "0"}
    with socket.create_server(("localhost", 0)) as free:
        port = str(free.getsockname()[1])
    bases = [lay_out(tmp_path / f"{i}", given, hosts=hosts, host=i) for i in range(len(hosts))]
    for base in bases:
        write_kitti(base / "input" / "data" / "training", count=4)

    def attempt(kind: str) -> list[Container]:
        works = [tmp_path / f"{kind}{i}" for i in range(len(hosts))]
        for work in works:
            work.mkdir(exist_ok=True)
            (work / "held.py").write_text(HELD)
            if kind == "whole":
                (work / "go").touch()
        return [
            Container(
                base, TRAIN, work, isolated=True, MASTER_PORT=port, PYTHONPATH=str(TRAIN[1].removesuffix("train.py"))
            )
            for base, work in zip(bases, works, strict=True)
        ]

    running = attempt("cut")
    for i, each in enumerate(running):
        soon((tmp_path / f"cut{i}" / "held").exists, each)
    began = time.monotonic()
    for each in running:
        each.terminate()
    for i in range(len(hosts)):
        (tmp_path / f"cut{i}" / "go").touch()
    codes = [each.wait() for each in running]
    seconds = time.monotonic() - began
    assert all(codes), running[0].printed
    assert seconds < 30
    run = bases[0] / "checkpoints"
    assert read_result(run)["status"] == "interrupted", running[0].printed
    assert len(read_result(run)["epochs"]) == 1
    assert (run / "checkpoints" / "interrupted.ckpt").exists()
    assert (bases[0] / "model" / "checkpoints" / "best.ckpt").exists()
    assert not (bases[0] / "output" / "failure").exists()
    for other in bases[1:]:  # what SageMaker puts back is the same on all hosts
        shutil.copytree(run, other / "checkpoints", dirs_exist_ok=True)
    running = attempt("cut")
    assert not any(each.wait() for each in running), "\n".join(each.printed for each in running)
    assert "going on from /opt/ml/checkpoints/checkpoints/last.ckpt" in running[0].printed
    result, resumed = read_result(run), weights(run / "checkpoints" / "last.ckpt")
    assert [epoch["epoch"] for epoch in result["epochs"]] == [1, 2, 3]
    assert json.loads((bases[0] / "model" / "result.json").read_text())["status"] == "finished"
    if len(hosts) > 1:
        return
    shutil.rmtree(run)
    running = attempt("whole")
    assert not any(each.wait() for each in running), running[0].printed
    whole = weights(run / "checkpoints" / "last.ckpt")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
