"""A training job's container as far as a test needs it: its folders, and a process that is process 1 in it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.processes import SEGKIT, Program

REPOSITORY = Path(__file__).resolve().parents[2]
TRAIN = ["python", str(REPOSITORY / "train.py")]

# /opt/ml is put there in a mount namespace of the container's own; the machine has none.
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
ENTER = 'mount -t tmpfs none /opt && mkdir /opt/ml && mount --bind "$0" /opt/ml && exec "$@"'

SMALL = {
    "data.image_shape": "[32,64]",
    "data.split": '"fraction"',
    "data.workers": "0",
    "model.weights": "null",
    "model.encoder": "mobilenet_v3_large",
    "model__fc_channels": "null",
    "trainer.gpus": "0",
    "trainer.max_epochs": "1",
    "predictions": "2",
    "sagemaker_program": "train.py",
}
"""Hyperparameters as the SDK's JSON, as plain text, and with an undotted name."""

HELD = """
import time
from pathlib import Path
from pytorch_lightning import Callback
from segkit.training.checkpoints import LastCheckpoint

class Hold(Callback):
    '''Every epoch is saved; the second one waits in its first batch until the test says go.'''
    def __init__(self):
        LastCheckpoint.EVERY_SECONDS = 0
    def on_train_batch_end(self, trainer, *rest):
        if trainer.current_epoch == 1 and not Path("go").exists():
            Path("held").touch()
            while not Path("go").exists():
                time.sleep(0.01)
"""
HOLD = {"trainer.callbacks": "[{_target_: held.Hold}]"}


def lay_out(
    base: Path,
    hyperparameters: Mapping[str, str],
    channels: Sequence[str] = ("training",),
    hosts: Sequence[str] = ("algo-1",),
    host: int = 0,
) -> Path:
    """The files that SageMaker puts below ``base`` before it starts a container; channels are empty still."""
    config = base / "input" / "config"
    config.mkdir(parents=True, exist_ok=True)
    for name in channels:
        (base / "input" / "data" / name).mkdir(parents=True, exist_ok=True)
    machines = {"current_host": hosts[host], "hosts": [*hosts], "network_interface_name": "lo"}
    files: dict[str, Any] = {
        "hyperparameters": dict(hyperparameters),
        "resourceconfig": machines,
        "inputdataconfig": {name: {"TrainingInputMode": "File"} for name in channels},
    }
    for name, content in files.items():
        (config / f"{name}.json").write_text(json.dumps(content))
    return base


class Container:
    """A process in a container; what it prints is in ``<base>/printed``.

    Args:
        base: what is ``/opt/ml`` there.
        command: what it runs.
        work: the folder that it runs in.
        isolated: as process 1, and with ``/opt/ml``; else with ``SAGEMAKER_BASE_DIR``.
        variables: more of its environment.
    """

    def __init__(
        self, base: Path, command: Sequence[str], work: Path, isolated: bool = False, **variables: str
    ) -> None:
        self.base, self.isolated = base, isolated
        work.mkdir(exist_ok=True)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": path} | variables
        self.process: subprocess.Popen[bytes] | Program
        with (base / "printed").open("ab") as out:
            if isolated:
                words = [*NAMESPACES, "sh", "-ec", ENTER, str(base), *command]
                self.process = subprocess.Popen(words, cwd=work, env=environment, stdout=out, stderr=subprocess.STDOUT)
            else:
                self.process = _begun(command, work, environment | {"SAGEMAKER_BASE_DIR": str(base)}, out.fileno())

    def terminate(self) -> None:
        """SIGTERM to the container's own first process, from outside."""
        pid = self.process.pid
        if self.isolated:
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        os.kill(pid, signal.SIGTERM)

    def wait(self) -> int:
        try:
            return self.process.wait(300)
        finally:
            self.process.kill()

    @property
    def printed(self) -> str:
        return (self.base / "printed").read_text()


def _begun(command: Sequence[str], work: Path, environment: Mapping[str, str], out: int) -> Program:
    """What a shell's line ends in, ``exec segkit …`` or ``exec python train.py``, as a process that starts at once."""
    programs = work.parent / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("segkit", "python"):
        (programs / name).write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" > "{programs}/words"\n')
        (programs / name).chmod(0o755)
    path = {"PATH": f"{programs}:{environment['PATH']}"}
    subprocess.run(command, cwd=work, env={**environment, **path}, stdout=out, stderr=subprocess.STDOUT, check=True)
    name, *words = (programs / "words").read_text().splitlines()
    if name == "segkit":
        return Program(SEGKIT, words, work, environment, out, out)
    return Program(work / words[0], words[1:], work, environment, out, out)


def needs_namespaces() -> None:
    """Skip the test where a user cannot have them."""
    try:
        subprocess.run([*NAMESPACES, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine allows no user namespaces")
