"""``segkit serve`` as a whole: from a run folder to answers, and to its end."""

import http.client
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

import segkit
from tests.commands.in_process import segkit as in_process
from tests.commands.test_predict import write_checkpoint
from tests.fixtures import write_calibrations, write_kitti
from tests.processes import SEGKIT, Program
from tests.serve.serving import Reply, file_of, mask_in, picture


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command sets for OpenCV is its own process's, which is the test's here."""
    for name in ("OPENCV_IO_MAX_IMAGE_PIXELS", "OPENCV_LOG_LEVEL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@contextmanager
def served(*words: str, cwd: Path, **variables: str) -> Iterator[tuple[Program, int]]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    process = Program(SEGKIT, ["serve", "gpus=0", *words], cwd, environment)
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if found := re.search(r"serving at http://127\.0\.0\.1:(\d+)", line):
                yield process, int(found[1])
                break
        else:
            pytest.fail(said)
    finally:
        process.kill()
        process.wait()


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    reply = Reply(answer.status, dict(answer.getheaders()), answer.read())
    connection.close()
    return reply


def run_folder(root: Path) -> Path:
    """As far as a run has to be there: its checkpoint, and the settings of its data."""
    run = root / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / ".hydra").mkdir()
    write_checkpoint(run / "checkpoints" / "best.ckpt")
    write_kitti(root / "data", count=2, tests=1)
    write_calibrations(root / "data")
    data = {
        "_target_": "segkit.road.dataset.KittiRoadDataModule",
        "root": str(root / "data"),
        "image_shape": [32, 64],
        "batch_size": 1,
        "split": "none",
        "augment": {"_target_": "no.longer.there"},
    }
    settings: dict[str, Any] = {"data": data, "trainer": {"max_epochs": 1}}
    (run / ".hydra" / "config.yaml").write_text(yaml.safe_dump(settings))
    return run


def test_a_run_is_served_until_sigterm_and_what_is_under_way_is_finished(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    with served(f"checkpoint={run}", "port=0", "precision=fp32", "hydra.run.dir=out", cwd=tmp_path) as (process, port):
        metadata = ask(port, "GET", "/metadata").json
        assert metadata["checkpoint"] == [str(run)]
        assert [item["name"] for item in metadata["pictures"]] == ["um_000000", "umm_000000", "uu_000000"]
        assert metadata["pictures"][0]["calibrated"]
        image = picture(37, 125)
        expected, _ = segkit.load(run, precision="fp32").predict(image)
        reply = ask(port, "POST", "/invocations", file_of(image))
        assert (mask_in(reply.content) != expected).mean() < 0.01
        with socket.create_connection(("127.0.0.1", port), 60) as half:
            half.sendall(b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n")
            ask(port, "GET", "/ping")  # by now the other one is being served
            process.send_signal(signal.SIGTERM)
            content = file_of(image)
            half.sendall(
                b"X-Size: " + str(len(content)).encode() + b"\r\n\r\n" + content + bytes(5_000_000 - len(content))
            )
            received = b""
            while piece := half.recv(2**16):
                received += piece
        assert received.startswith(b"HTTP/1.1 200 OK")
        assert process.wait(60) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["statuses"]["200"] == 4
    assert result["milliseconds_p99"] >= result["milliseconds_p50"] > 0


def test_without_a_checkpoint_the_network_that_comes_along_is_served(tmp_path: Path) -> None:
    with served("port=0", "gpus=0", "batch=1", cwd=tmp_path) as (process, port):
        assert ask(port, "GET", "/metadata").json["checkpoint"] == ["bundled"]
        reply = ask(port, "POST", "/invocations", file_of(picture(37, 125)), Accept="application/json").json
        assert "road" in [item["name"] for item in reply["classes"]]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_a_container_for_inference_needs_no_arguments(tmp_path: Path) -> None:
    """What a training job has left in ``model``, and the environment that a model's definition may have."""
    model = tmp_path / "ml" / "model"
    model.mkdir(parents=True)
    run_folder(tmp_path).rename(model / "inner")
    variables = {"SAGEMAKER_BASE_DIR": str(tmp_path / "ml"), "SEGKIT_SERVE": "port=0 max_megapixels=0.01"}
    with served(cwd=tmp_path, **variables) as (process, port):
        assert ask(port, "GET", "/ping", Host="model.endpoint").status == 200  # whoever reaches the container
        assert ask(port, "POST", "/invocations", file_of(picture()), Accept="application/json").json["width"] == 50
        assert ask(port, "POST", "/invocations", file_of(picture(200, 200))).status == 413
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_a_containers_settings_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGKIT_SERVE", "port='1")
    told = in_process("serve", "checkpoint=best.ckpt", cwd=tmp_path)
    assert (told.code, told.err.startswith("error: SEGKIT_SERVE: No closing quotation")) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["checkpoint=none"], "checkpoint: none does not exist"),
        (["checkpoint=best.ckpt", "port=70000"], "port=70000: should be less than or equal to 65535"),
        (["checkpoint=best.ckpt", "calibration=none.txt"], "none.txt: cannot be read"),
        (["checkpoint=best.ckpt", "host=no.such.host.invalid"], "host=no.such.host.invalid: no such address"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(words: list[str], message: str, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "best.ckpt")
    told = in_process("serve", "gpus=0", "batch=1", *words, cwd=tmp_path)
    assert told.code == 2
    assert told.err.startswith(f"error: {message}")
    assert told.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["best.ckpt"]


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "best.ckpt")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = in_process("serve", "checkpoint=best.ckpt", "gpus=0", "batch=1", f"port={port}", cwd=tmp_path)
    assert told.code == 2
    assert (
        told.err
        == f"error: port={port}: cannot be used at host=127.0.0.1 (Address already in use); give another port=\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["best.ckpt"]
