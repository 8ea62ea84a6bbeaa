"""A training job's container as far as a test needs it: its folders, and a process that is process 1 in it."""

import ctypes
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.processes import SEGKIT, Program

REPOSITORY = Path(__file__).resolve().parents[2]
TRAIN = ["python", str(REPOSITORY / "train.py")]

# /opt/ml is put there in a mount namespace of the container's own; the machine has none.
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
USER, MOUNT, PID = 0x10000000, 0x00020000, 0x20000000  # CLONE_NEW… of <sched.h>: os.unshare came with Python 3.12
MOUNTS = """
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs none /opt
mkdir /opt/ml
mount --bind "$0" /opt/ml
"""
DIES_WITH_ITS_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>

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
        with (base / "printed").open("ab") as out:
            if isolated:
                _, script, *words = command
                program = partial(_as_process_1, base, script)
                self.process = Program(program, words, work, environment, out.fileno(), out.fileno())
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


def _as_process_1(base: Path, script: str) -> None:
    """Run a script as `NAMESPACES` would, in this process's only child."""
    user, group = os.getuid(), os.getgid()
    system = ctypes.CDLL(None)
    assert system.unshare(USER | MOUNT | PID) == 0
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path(f"/proc/self/{name}").write_text(text)
    if child := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os._exit(code if code >= 0 else 128 - code)
    system.prctl(DIES_WITH_ITS_PARENT, signal.SIGKILL)
    subprocess.run(["sh", "-ec", MOUNTS, str(base)], check=True)
    assert os.getpid() == 1
    sys.argv[0] = script
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


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
