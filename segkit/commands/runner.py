"""From a command line to a running command: composing, checking, and one-line errors.

Hydra composes the config and names the run folder. What it would print as a traceback for a mistake of the user's
becomes one or two lines here, with exit code 2, and what the run has written by then is taken back.
"""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from segkit.config.compose import CONF, kept_files, readable, resolved
from segkit.config.overrides import MULTIRUN, is_sweep, quoted, split_flags
from segkit.config.schema import Strict, validate
from segkit.errors import UserError
from segkit.runs.folder import RunFolder, remove_empty

# A full disk, and places that cannot be written: the system's errors that the user can put right.
PLACES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT, errno.EEXIST)


class Command(Protocol):
    """What a module in ``segkit.commands`` provides.

    ``run`` gets the checked config as plain dicts and lists, and the run folder. ``prepare_arguments``, where there is
    one, may rewrite the command line before it is composed; it returns the same list where it has nothing to rewrite.
    With ``SWEEPS = True`` its ``--multirun`` is segkit's own (:mod:`segkit.sweeps`), else it is Hydra's.
    """

    SETTINGS: type[Strict]
    run: Callable[..., Any]


class _Stop(BaseException):
    """Carries a user's mistake past Hydra, which prints a line of its own for every Exception."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def run_command(command: Command, name: str, arguments: list[str]) -> None:
    """Compose ``conf/<name>.yaml`` with ``arguments`` and run the command.

    Exits with 2 on a user's mistake and with 130 on Ctrl-C.
    """
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra then raises its exceptions instead of printing them, so that they can be told apart below.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        flags, overrides = split_flags(arguments)
        if getattr(command, "SWEEPS", False) and is_sweep(flags):
            from segkit.sweeps.sweep import run_sweep

            sys.argv = [f"segkit {name}"]
            sys.exit(run_sweep(flags, overrides, command.run))
        prepare = getattr(command, "prepare_arguments", None)
        words = prepare(arguments) if prepare else arguments
        flags, overrides = split_flags(words)
        if not is_sweep(flags):  # Hydra does not print with --multirun
            flags = [flag for flag in flags if flag not in MULTIRUN]
        if not MULTIRUN & set(flags):  # in a sweep, commas divide values
            overrides = [quoted(word) for word in overrides]
        sys.argv = [f"segkit {name}", *flags, *overrides]
        task = _task(command, resuming=any(word.startswith("resume=") for word in arguments))
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(task)()
    except (_Stop, UserError, OSError, HydraException, OmegaConfBaseException, yaml.YAMLError) as stop:
        error = stop.error if isinstance(stop, _Stop) else stop
        if full_error or not _is_users(error):
            raise error from None
        print(f"error: {readable(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        if full_error:
            raise
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _task(command: Command, resuming: bool) -> Callable[[DictConfig], Any]:
    def task(config: DictConfig) -> Any:
        hydra_config = HydraConfig.get()
        path = Path(hydra_config.runtime.output_dir)
        try:
            settings = _checked(command, config)
            folder = RunFolder(path)
        except UserError as error:
            remove_empty(path)
            raise _told(error) from None
        files = kept_files(config, hydra_config)
        try:
            folder.check_owner(files, resuming)
            if getattr(command, "KEEPS_CONFIG", True):
                folder.write_config(files)
            return command.run(settings, folder)
        except (UserError, OSError, KeyboardInterrupt) as error:
            folder.undo(files, f"{hydra_config.job.name}.log")
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(path)  # a write to an open file does not say which
            raise _told(error) from None
        finally:
            folder.close()

    return task


def _checked(command: Command, config: DictConfig) -> dict[str, Any]:
    settings = resolved(config)
    validate(command.SETTINGS, settings)
    return settings


def _told(error: BaseException) -> BaseException:
    """The error in the form that gets through Hydra; in a sweep, Hydra has to see it."""
    single = HydraConfig.get().mode == RunMode.RUN
    return _Stop(error) if single and isinstance(error, Exception) and _is_users(error) else error


def _is_users(error: Exception) -> bool:
    # Hydra's own errors include one that is an OSError too.
    return isinstance(error, HydraException) or not isinstance(error, OSError) or error.errno in PLACES
