"""Starting the processes of a data-parallel run on this machine.

Through torch's elastic launcher, with the function and its arguments handed over: re-running the command line, as
Lightning does by itself, would run a whole sweep again in every process.
"""

import json
import logging
import os
import shutil
import signal
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from segkit.console import log_places, log_to
from segkit.distributed.cores import cores
from segkit.distributed.processes import die_with_parent
from segkit.distributed.ranks import Ranks, joined
from segkit.errors import Interrupted, Pruned, UserError
from segkit.runs.files import locked_folder

LEFT_ALONE = ("Connection closed by peer", "Connection reset by peer")
"""What gloo says in a process that waited for one that is no longer there."""

_LOST = "(killed for want of memory?)\nresume=<run folder> goes on with the run"

TEMPORARY = "segkit-processes-"
"""How folders begin, among the system's temporary files, in which the processes of a run find each other."""

log = logging.getLogger(__name__)


def launch(processes: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``function(*arguments)`` in ``processes`` new processes that are joined (:mod:`segkit.distributed.ranks`).

    Both have to be picklable. A process that fails ends all of them. Returns what the function returns on rank 0.

    Raises:
        UserError: as the first process that failed raised it; or one was killed.
        RuntimeError: another exception of that process, with its traceback.
        Interrupted: SIGINT or SIGTERM came; the processes have ended.
    """
    for name in logging.root.manager.loggerDict:
        if name.startswith(("torch.distributed.elastic", "torch.distributed.launcher", "torch.multiprocessing")):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what went wrong is told below
    with _temporary_folder() as logs:
        return _launch(processes, function, arguments, logs)


def _launch(processes: int, function: Callable[..., Any], arguments: tuple[Any, ...], logs: Path) -> Any:
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        # In a folder of this process's own: what torch keeps there it unpickles, and a port is open to others.
        rdzv_endpoint=f"{logs}/rendezvous",
        rdzv_configs={"store_type": "file"},
        local_addr="localhost",  # the machine's own name need not resolve
        max_restarts=0,
        start_method="spawn",
        signals_to_handle="SIGTERM",
        logs_specs=DefaultLogsSpecs(log_dir=str(logs)),
    )
    threads = os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    log.debug("%d processes of %s threads", processes, threads)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    received: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        # A terminal sends Ctrl-C to the processes too; the launcher then sees to their end.
        received.append(number)
        if signal.getsignal(signal.SIGTERM) == before[signal.SIGTERM]:  # it has not started them yet
            raise Interrupted(number)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGINT, pass_on)
    try:
        results = elastic_launch(config, _in_rank)(function, arguments, log_places())
    except SignalException as stop:
        raise Interrupted(received[0] if received else int(stop.sigval)) from None
    except ChildFailedError as error:
        raise _own_error(error, logs, processes) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return results[0]


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder of this process's own; those that killed ones have left are removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):
        with suppress(OSError, UserError), locked_folder(left, "in use"):
            shutil.rmtree(left, ignore_errors=True)
    before, made = tempfile.tempdir, tempfile.TemporaryDirectory(prefix=TEMPORARY, ignore_cleanup_errors=True)
    with made as name, locked_folder(Path(name), f"{name}: in use"):
        tempfile.tempdir = name  # torch leaves a file of what each process says that failed
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before


def _in_rank(function: Callable[..., Any], arguments: tuple[Any, ...], places: tuple[bool, Path | None]) -> Any:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until training begins, the launching process decides alone
    die_with_parent()
    ranks = Ranks.from_environment()
    assert ranks is not None
    if ranks.rank == 0:
        log_to(*places)
    else:
        log_to(False, None)
        warnings.simplefilter("ignore")
    try:
        with joined():
            return function(*arguments)
    except Pruned:
        raise
    except UserError as error:
        raise UserError(str(error)) from error  # the launching process is told names of classes and messages


def _own_error(error: ChildFailedError, logs: Path, processes: int) -> Exception:
    """What the process that failed first raised; the others then fail because it no longer answers."""
    rank, failure = error.get_first_failure()
    written = sorted(logs.rglob("error.json"), key=lambda path: path.stat().st_mtime_ns)
    if not written or not Path(failure.error_file).is_file():
        reason = failure.signal_name() if failure.exitcode < 0 else f"exit code {failure.exitcode}"
        return UserError(f"process {rank} of the run ended with {reason} {_LOST}")
    first = json.loads(written[0].read_text())["message"]
    if len(written) < processes and any(sign in first["message"] for sign in LEFT_ALONE):
        return UserError(f"a process of the run ended without a word {_LOST}")
    kind, _, text = first["message"].partition(": ")
    known: dict[str, type[UserError]] = {"UserError": UserError, "Pruned": Pruned}
    if kind in known:
        return known[kind](text)
    callstack = first["extraInfo"]["py_callstack"]
    return RuntimeError(f"process {written[0].parent.name} of the run failed: {first['message']}\n{callstack}")
