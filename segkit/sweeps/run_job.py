"""What the process of a job does: it trains in the job's folder and says what became of it, whatever happens."""

import logging
import os
import signal
import socket
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from segkit.config.messages import readable
from segkit.config.schema import TrainSettings, validate
from segkit.console import log_to
from segkit.errors import Pruned, UserError
from segkit.runs.folder import RunFolder, write_result
from segkit.runs.read import is_locked, read_result
from segkit.sweeps.job import Job, Outcome

LOG, CONSOLE = "train.log", "console.log"
"""Files of a job's folder: what the run logs, and what else its process prints."""

LONGEST_REASON = 400

log = logging.getLogger(__name__)


def run_job(job: Job) -> Outcome:
    """Train in ``job.folder``, from its ``last.ckpt`` on where it has one. To be called in a process of the job's own.

    Never raises for a run that fails: how it ended is returned, and stands in ``result.json`` too. The folder stays as
    the run has left it. A folder that is not the job's to write in is not touched.
    """
    began = time.time()
    try:
        os.chdir(job.cwd)
        if str(job.cwd) not in sys.path:
            sys.path.append(str(job.cwd))  # for classes of the user's own, named as _target_
        folder = RunFolder(job.folder)
    except (UserError, OSError) as error:
        return Outcome("failed", _reason(error))
    with closing(folder):
        try:
            folder.check_owner(job.files, resuming=True)
            folder.write_config(job.files)
            log_to(False, job.folder / LOG)
        except Exception as error:  # what is there may be damaged in any way
            return Outcome("failed", _reason(error))
        outcome = _train(job, folder)
        record(job.folder, outcome, began)
        return outcome


def _train(job: Job, folder: RunFolder) -> Outcome:
    try:
        validate(TrainSettings, job.settings)
        return Outcome("finished", score=job.train(job.settings, folder, job.swept, job.trial))
    except KeyboardInterrupt:
        return _signalled(signal.SIGINT)
    except SystemExit as stop:  # of which segkit's Interrupted is one
        if isinstance(stop.code, int) and stop.code > 128:
            return _signalled(stop.code - 128)
        log.exception("the run ended itself")
        return Outcome("failed", f"ended with exit code {stop.code}, see {LOG}")
    except UserError as error:
        log.error("%s", readable(error))
        return Outcome("pruned" if isinstance(error, Pruned) else "failed", _reason(error))
    except Exception as error:
        log.exception("the run failed")
        return Outcome("failed", _reason(error))


def _signalled(number: int) -> Outcome:
    name = signal.Signals(number).name
    log.info("ended by %s", name)
    return Outcome("interrupted", name)


def _reason(error: Exception) -> str:
    if isinstance(error, UserError) or (isinstance(error, OSError) and error.filename is not None):
        return one_line(readable(error))
    text = str(error).strip()
    return one_line(f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__)


def one_line(text: str) -> str:
    """A message of any length as a reason that stands in a line; the whole of it is in the job's log."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = "; ".join([*(line.rstrip(".;:") for line in lines[:-1]), *lines[-1:]])
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"


def record(folder: Path, outcome: Outcome, began: float) -> None:
    """See to it that ``result.json`` says how a run ended that did not finish.

    What the run has written itself is left alone if it says the same. Else the epochs of the run are kept, also those
    of an attempt before ``began`` (unix seconds), since it goes on with them.
    """
    result: dict[str, Any] = read_result(folder)
    own = result.get("started", 0.0) >= began
    if outcome.status == "finished" or (own and result.get("status") in (outcome.status, "finished")):
        return
    keys = ["epochs", "max_epochs", "monitor"] + (["started", "host", "devices", "gpu"] if own else [])
    kept = {key: result[key] for key in keys if key in result}
    ended = {"status": outcome.status, "reason": outcome.reason, "ended": time.time()}
    with suppress(OSError):  # a full disk may be the very reason
        about = {"epochs": [], "started": began, "host": socket.gethostname()}
        write_result(folder, "train", about | kept | ended)


def record_death(job: Job, outcome: Outcome, began: float, within: float = 0.0) -> None:
    """``record`` for a job whose process has died without a word, unless another process has the folder.

    A process that is just dying gives it back ``within`` so many seconds.
    """
    until = time.monotonic() + within
    while is_locked(job.folder) and time.monotonic() < until:
        time.sleep(0.1)
    with suppress(UserError, OSError), closing(RunFolder(job.folder)):
        record(job.folder, outcome, began)
