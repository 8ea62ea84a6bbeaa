"""From a command line to a running command: composing, checking, the run folder, and one-line errors.

A mistake of the user's is one or two lines and exit code 2, and what the run has written by then is taken back.
"""

import errno
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segkit.config.check import Strict, nested_targets
from segkit.config.compose import combinations, composed, kept_files, resolved, set_run_folder
from segkit.config.instantiate import check_trust
from segkit.config.messages import WRONG, readable
from segkit.config.overrides import Options, as_list, quoted, read_options, split_flags, value_of
from segkit.config.schema import validate
from segkit.console import log_to
from segkit.errors import Told, UserError
from segkit.remote.address import is_address
from segkit.remote.local import with_addresses
from segkit.runs.folder import RunFolder, remove_empty
from segkit.runs.sources import CODE

# A full disk, places that cannot be written, and files that are none: the system's errors that the user can put right.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PLACES = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT, errno.EEXIST, errno.EIO)
USERS = (*FULL, *PLACES, *WRONG)

LONGEST = 2000
"""Letters of a line of a message."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Typed:
    """What a command is composed from.

    Attributes:
        words: the settings as typed, in Hydra's grammar.
        config_dir: a folder of more config files.
        base: what a run folder adds: the config that the words are applied to (see ``composed``).
        source: that run folder, whose config names code that the user has not typed.
        resuming: the run goes on in ``source``.
        note: what to say of it once the command runs.
    """

    words: list[str]
    config_dir: Path | None = None
    base: Mapping[str, Any] | None = None
    source: Path | None = None
    resuming: bool = False
    note: str = ""


class Command(Protocol):
    """What a module in ``segkit.commands`` provides.

    ``run`` gets the checked config as plain dicts and lists, and the run folder. ``prepare(typed: Typed) -> Typed``,
    where there is one, may add what the words stand for before they are composed. With ``SWEEPS = True`` its
    ``--multirun`` is a sweep (:mod:`segkit.sweeps`), else its runs follow each other here.
    """

    SETTINGS: type[Strict]
    run: Callable[..., Any]


def run_command(command: Command, name: str, arguments: list[str]) -> None:
    """Compose ``conf/<name>.yaml`` with ``arguments`` and run the command.

    Exits with 2 on a user's mistake and with 130 on Ctrl-C.
    """
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    try:
        flags, words = split_flags(arguments)
        options = read_options(flags)
        if options.help or options.print_config:
            _show(command, name, words, options)
        elif options.multirun and getattr(command, "SWEEPS", False):
            from segkit.sweeps.sweep import run_sweep

            sys.exit(run_sweep(flags, words, command.run))
        elif options.multirun:
            _run_several(command, name, words, options.config_dir)
        else:
            run_once(command, name, words, options.config_dir)
    except (UserError, OSError, HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        if full_error or not _is_users(error):
            raise
        line = "\n".join(map(_shortened, with_addresses(readable(error)).split("\n")))
        print(f"error: {line}", file=sys.stderr)
        raise Told(line) from None
    except KeyboardInterrupt:
        if full_error:
            raise
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _shortened(line: str) -> str:
    """A line of a message; what was typed, which it shows, may have any length."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"


def run_once(command: Command, name: str, words: list[str], config_dir: Path | None = None) -> Path:
    """Compose ``conf/<name>.yaml`` with ``words``, as typed, run the command, and return the folder of its results.

    Raises:
        UserError, OSError, HydraException, OmegaConfBaseException, yaml.YAMLError: a mistake of the user's.
    """
    typed, config = _composed(command, name, Typed([quoted(word) for word in words], config_dir))
    _run(command, typed, config)
    return Path(config.hydra.runtime.output_dir)


def _show(command: Command, name: str, words: list[str], options: Options) -> None:
    typed = Typed([quoted(word) for word in words], options.config_dir)
    if not options.help:
        typed = _prepared(command, typed)
    config = composed(name, typed.words, typed.config_dir, typed.base)
    if options.help:
        from segkit.config.help import help_text

        print(help_text(name, config, typed.config_dir), end="")
    else:
        print(OmegaConf.to_yaml(resolved(config)) if options.resolve else kept_files(config)["config.yaml"], end="")


def _prepared(command: Command, typed: Typed) -> Typed:
    prepare = getattr(command, "prepare", None)
    return prepare(typed) if prepare else typed


def _composed(command: Command, name: str, typed: Typed) -> tuple[Typed, DictConfig]:
    """What a run is composed from, and its config: its folder named, its settings checked."""
    prepared = _prepared(command, typed)
    config = composed(name, prepared.words, prepared.config_dir, prepared.base)
    if not str(config.hydra.run.dir).strip():
        raise UserError("the folder of the results is empty: give output=, into= or hydra.run.dir=<a folder>")
    set_run_folder(config, Path(config.hydra.run.dir).absolute())
    settings = resolved(config)
    if is_address(config.hydra.run.dir):
        raise UserError(f"{config.hydra.run.dir}: results are written to a folder of this machine; give one")
    if prepared.source is not None:
        check_trust(settings, _named_by_user(name, typed), prepared.source / CODE)
    validate(command.SETTINGS, settings)
    return prepared, config


def _named_by_user(name: str, typed: Typed) -> list[str]:
    """Modules and classes that the user has named: with ``trust``, in words, or in a file that words choose."""
    trust = value_of(typed.words, "trust") or []
    words = [word for word in typed.words if not word.startswith("resume=")]
    try:
        own = OmegaConf.to_container(composed(name, words, typed.config_dir))
    except (UserError, HydraException):  # words that make sense for the run's own config alone
        own = {}
    named = [str(group["_target_"]) for _, group in nested_targets("", own)]
    return [*as_list(trust), *named]


def _run_several(command: Command, name: str, words: list[str], config_dir: Path | None) -> None:
    """One run for each combination of values, one after the other, all of them checked before the first begins."""
    runs = [_composed(command, name, Typed(chosen, config_dir)) for chosen in combinations(words, config_dir)]
    place = Path(runs[0][1].hydra.sweep.dir).absolute()  # its time is that of the first
    for number, (typed, config) in enumerate(runs):
        config.hydra.job.num = number
        set_run_folder(config, place / str(config.hydra.sweep.subdir))
        _run(command, typed, config)


def _run(command: Command, typed: Typed, config: DictConfig) -> None:
    settings, files = resolved(config), kept_files(config)
    path, keeps_config = Path(config.hydra.runtime.output_dir), getattr(command, "KEEPS_CONFIG", True)
    try:
        folder = RunFolder(path)
    except UserError:
        remove_empty(path)
        raise
    log_file = f"{config.hydra.job.name}.log"
    try:
        folder.check_owner(files, typed.resuming)
        if keeps_config:
            folder.write_config(files)
        log_to(True, path / log_file if keeps_config else None)
        if typed.note:
            log.info("%s", typed.note)
        command.run(settings, folder)
    except (UserError, OSError, KeyboardInterrupt) as error:
        folder.undo(files, log_file)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a write to an open file does not say which
        raise
    finally:
        folder.close()


def _is_users(error: Exception) -> bool:
    # Hydra's own errors include one that is an OSError too.
    return isinstance(error, HydraException) or not isinstance(error, OSError) or error.errno in USERS
