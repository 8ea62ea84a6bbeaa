"""The run folder: its layout, the lock that gives it to one process, and ``result.json``."""

import fcntl
import json
import math
import os
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segkit.errors import UserError


class RunFolder:
    """A folder that one process writes: ``checkpoints/``, ``tensorboard/``, ``predictions/`` and ``result.json``.

    The lock is the kernel's (flock), so it ends with the process however that dies.

    Raises:
        UserError: another process is writing this folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock = open(path / ".lock", "a")  # noqa: SIM115 - held open for as long as the folder is ours
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UserError(f"{path}: another process is writing this run folder; wait for it or stop it") from None

    def close(self) -> None:
        """Give the folder back, and leave no lock file in a folder where nothing was done."""
        if not any(self.path.glob("checkpoints/*")) and not self.result.exists():
            (self.path / ".lock").unlink(missing_ok=True)
        self._lock.close()

    @property
    def best(self) -> Path:
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def last(self) -> Path:
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"

    @property
    def result(self) -> Path:
        return self.path / "result.json"


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Write ``result.json`` in one step: a reader sees the old file or the new one, never half of one."""
    temporary = folder / f".result.{os.getpid()}.json"
    temporary.write_text(json.dumps(_finite(result), indent=2, allow_nan=False) + "\n")
    os.replace(temporary, folder / "result.json")


def _finite(value: Any) -> Any:
    """``value`` with null for numbers that JSON does not know: a score that does not exist is NaN in the code."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def environment() -> dict[str, Any]:
    """What a result depends on besides its settings: versions of the main libraries, device, git commit."""
    import torch

    packages = ("torch", "torchvision", "pytorch-lightning", "albumentations", "hydra-core", "numpy")
    return {
        "versions": {name: version(name) for name in packages},
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """The commit of the code in use, with ``-dirty`` where tracked files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
