"""The writer of run folders: their layout, the lock that gives one to a process, the config's copy, ``result.json``."""

import errno
import json
import math
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from segkit.errors import UserError
from segkit.runs.files import locked, temporary_name, write_whole
from segkit.runs.plain import read_yaml
from segkit.runs.stamp import stamped

FULL = (errno.ENOSPC, errno.EDQUOT)
LOCK, CONFIG, RESULT = ".lock", ".hydra", "result.json"


class RunFolder:
    """A folder that one process writes: ``checkpoints/``, ``tensorboard/``, ``predictions/`` and ``result.json``.

    The lock is the kernel's (flock), so it ends with the process however that dies.

    Raises:
        UserError: another process is writing this folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        for entry in path.iterdir():
            if entry.is_symlink() and (entry.name in (LOCK, CONFIG) or entry.suffix == ".log"):
                raise UserError(f"{entry} is a link, which would be written through; remove it or give another folder")
        self._before = {entry.name for entry in path.iterdir()}
        self._config_before: dict[str, str] = {}
        self._result_before = self._result_time()
        taken = f"{path}: another process is writing this run folder; wait for it, or give another folder"
        self._lock = locked(path / LOCK, taken)
        temporary_name(path / RESULT).unlink(missing_ok=True)  # of a killed run; a refused one writes none over it

    def close(self) -> None:
        """Give the folder back. The lock's file stays: removing it would let two processes lock two files."""
        self._lock.release()

    def check_owner(self, files: Mapping[str, str], resuming: bool) -> None:
        """Refuse a folder that another command has written, and for training one that holds another run.

        ``files`` are those that ``write_config`` is to write; ``resuming``: the user named the folder to go on with.

        Raises:
            UserError: saying what the folder is.
        """
        saved = {name: self.path / CONFIG / name for name in files}
        if not saved["hydra.yaml"].is_file():
            return
        own = yaml.safe_load(files["hydra.yaml"])["job"]["name"]
        kept = read_yaml(saved["hydra.yaml"])
        job = kept.get("job") if isinstance(kept, dict) else None
        owner = job.get("name") if isinstance(job, dict) else None
        if not isinstance(owner, str):
            raise UserError(f"{saved['hydra.yaml']} is damaged, or not segkit's; give segkit {own} another folder")
        if owner != own:
            raise UserError(f"{self.path} is a folder of segkit {owner}; give segkit {own} another one")
        if own == "train" and not resuming and saved["config.yaml"].read_text() != files["config.yaml"]:
            raise UserError(f"{self.path} holds a run with other settings; resume={self.path} goes on with it")

    def write_config(self, files: Mapping[str, str]) -> None:
        """Keep the config that the run is made from, as ``.hydra/<name>``."""
        folder = self.path / CONFIG
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            if (folder / name).exists():
                self._config_before[name] = (folder / name).read_text()
            write_whole(folder / name, text.encode())

    def undo(self, files: Mapping[str, str], log: str) -> None:
        """Take back what a run that came to nothing has written.

        ``files`` are those of ``write_config``, ``log`` the name of the log file. A config that was there before is
        put back. Where the run has left anything else (a checkpoint, a result), its config stays with it.
        """
        if self._result_time() == self._result_before:  # else there is a new result, and the config is its
            for name, text in self._config_before.items():
                (self.path / CONFIG / name).write_text(text)
        new = {entry.name for entry in self.path.iterdir()} - self._before
        if new - {CONFIG, LOCK, log}:
            return
        if CONFIG in new:
            for name in files:
                (self.path / CONFIG / name).unlink(missing_ok=True)
            (self.path / CONFIG).rmdir()
        for name in new & {LOCK, log}:
            (self.path / name).unlink()
        remove_empty(self.path)

    def _result_time(self) -> int | None:
        path = self.path / RESULT
        return path.stat().st_mtime_ns if path.exists() else None

    @property
    def best(self) -> Path:
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def last(self) -> Path:
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def counts(self) -> Path:
        return self.path / "counts.json"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"


def remove_empty(folder: Path) -> None:
    """Remove an empty run folder, and ``outputs/<name>/`` and ``outputs/`` above it where they are empty too."""
    outputs = Path.cwd() / "outputs"
    for candidate in (folder, folder.parent, folder.parent.parent):
        ours = candidate == folder or candidate.resolve().is_relative_to(outputs)
        if not ours or candidate.resolve() == Path.cwd() or any(candidate.iterdir()):
            return
        candidate.rmdir()


def write_result(folder: Path, command: str | None, result: Mapping[str, Any]) -> None:
    """Write ``result.json`` in one step: a reader sees the old file or the new one, never half of one.

    ``command`` is what it is the result of, ``train``; None: ``result`` is a copy of another file's, with its stamp.
    docs/result.schema.json says what each command writes.

    On a full disk it takes the old one's place byte by byte, where it is no longer: what became of a run is told.
    """
    path = folder / RESULT
    content = _finite(dict(result) if command is None else stamped(result, command=command))
    try:
        write_whole(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
    except OSError as error:
        short = json.dumps(content, allow_nan=False).encode()
        if error.errno not in FULL or path.is_symlink() or not path.is_file() or path.stat().st_size < len(short):
            raise
        with path.open("r+b") as file:
            file.write(short.ljust(path.stat().st_size))


def _finite(value: Any) -> Any:
    """``value`` with null for numbers that JSON does not know: a score that does not exist is NaN in the code."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def environment() -> dict[str, Any]:
    """What a result depends on besides its settings and the device: versions of the main libraries, the commit."""
    packages = ("torch", "torchvision", "pytorch-lightning", "albumentations", "hydra-core", "numpy")
    return {
        "versions": {name: version(name) for name in packages},
        "commit": _git_commit(),
    }


def place(gpus: Sequence[int], nodes: int = 1) -> dict[str, Any]:
    """Where a run runs: the host (of rank 0), the devices as the machine numbers them, and what GPUs they are.

    Args:
        gpus: those that are used on each machine, as torch numbers them; none for the CPU.
        nodes: machines.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    numbers = [visible[i] if i < len(visible) and visible[i] else str(i) for i in gpus]
    return {"host": socket.gethostname(), "devices": ",".join(numbers) or None, "gpu": gpu_name(gpus, nodes)}


def gpu_name(gpus: Sequence[int], nodes: int = 1) -> str | None:
    """What GPUs these are, and how many if several; arguments as for ``place``. None for the CPU."""
    import torch

    if not gpus:
        return None
    count = len(gpus) * nodes
    return (f"{count} × " if count > 1 else "") + torch.cuda.get_device_name(gpus[0])


def _git_commit() -> str | None:
    """The commit of the code in use, with ``-dirty`` where tracked files differ from it; None outside a checkout.

    A copy of a checkout, as training jobs on SageMaker run it, is told which in ``SEGKIT_COMMIT``.
    """
    if told := os.environ.get("SEGKIT_COMMIT"):
        return told
    here = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
