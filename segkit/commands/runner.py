"""From a command line to a running command: composing, checking, and one-line errors.

Hydra composes the config and makes the run folder. What it would print as a traceback for a mistake of the user's
becomes one or two lines here, with exit code 2, and a run folder in which nothing was done yet is taken away again.
"""

import errno
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segkit.errors import UserError
from segkit.settings import Strict, validate

CONF = Path(__file__).resolve().parents[2] / "conf"


class Command(Protocol):
    """What a module in ``segkit.commands`` provides. ``run`` gets the checked config as plain dicts and lists."""

    SETTINGS: type[Strict]
    run: Callable[[dict[str, Any], Path], Any]


def run_command(command: Command, name: str, arguments: list[str]) -> None:
    """Compose ``conf/<name>.yaml`` with ``arguments`` and run the command. Exits with 2 on a user's mistake."""
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra then raises its exceptions instead of printing them, so that they can be told apart below.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        prepare = getattr(command, "prepare_arguments", None)
        sys.argv = [f"segkit {name}", *(prepare(arguments) if prepare else arguments)]
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(_task(command))()
    except (_Stop, UserError, OSError, HydraException, OmegaConfBaseException) as stop:
        error = stop.error if isinstance(stop, _Stop) else stop
        if full_error or not _is_users(error):
            raise
        print(f"error: {_readable(error)}", file=sys.stderr)
        sys.exit(2)


def _is_users(error: Exception) -> bool:
    """Whether the user can put it right: of the system's errors, a full disk and folders that may not be written."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
    return True


def _task(command: Command) -> Callable[[DictConfig], Any]:
    def task(config: DictConfig) -> Any:
        folder = Path(HydraConfig.get().runtime.output_dir)
        try:
            missing = sorted(OmegaConf.missing_keys(config))
            if missing:
                raise UserError("\n".join(f"{key} is missing: give {key}=…" for key in missing))
            settings = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
            validate(command.SETTINGS, settings)
            return command.run(settings, folder)
        except (UserError, OSError) as error:
            remove_if_unused(folder)
            if not _is_users(error):
                raise
            if HydraConfig.get().mode == RunMode.RUN:
                raise _Stop(error) from error
            raise

    return task


class _Stop(BaseException):
    """Carries a user's mistake past Hydra, which prints a line of its own for every Exception."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def remove_if_unused(folder: Path) -> None:
    """Remove a run folder that holds nothing but Hydra's copy of the config and log lines."""
    if any(entry.name != ".hydra" and entry.suffix != ".log" for entry in folder.iterdir()):
        return
    shutil.rmtree(folder)
    for parent in (folder.parent, folder.parent.parent):  # outputs/<name>/ and outputs/, if the run made them
        if any(parent.iterdir()):
            break
        parent.rmdir()


def _readable(error: Exception) -> str:
    text = str(error).strip()
    if isinstance(error, UserError):
        return text
    if isinstance(error, OSError):
        return f"{error.filename or 'the run folder'}: {error.strerror}; make room, or give another place"
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown:
        return f"{unknown.group(1)}: no such setting (segkit {sys.argv[0].split()[-1]} --help lists all)"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key:", "object_type=", "provider=")))
