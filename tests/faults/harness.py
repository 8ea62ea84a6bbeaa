"""A program that is disturbed, the next one that is not, and what is held against the two."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from tests.faults.inside import Fault, disturbed
from tests.faults.subjects import Inputs, Subject
from tests.processes import Ended, python

SOON = 10.0
"""Seconds in which all processes have to be gone."""

LINES = 2
"""Lines that a message may have."""


@dataclass(frozen=True)
class Whole:
    """What a program comes to that nothing disturbs.

    Attributes:
        result: what has to be equal.
        names: what lies in its folder.
        points, seconds, size: steps on the disk, seconds of the processor, and bytes that it has written.
    """

    result: dict[str, Any]
    names: set[str]
    points: int
    seconds: float
    size: int


def run(subject: Subject, inputs: Inputs, folder: Path, fault: Fault = Fault()) -> Ended:  # noqa: B008 - is frozen
    """Run the subject in ``folder``."""
    program = partial(disturbed, subject.program(inputs), fault, Path(f"{folder}.told"))
    return python(program, cwd=folder, environment=environment(folder), spawns=subject.spawns, below=subject.below)


def whole(subject: Subject, inputs: Inputs, folder: Path) -> Whole:
    """Run the subject undisturbed."""
    folder.mkdir(parents=True)
    ended = run(subject, inputs, folder)
    assert ended.returncode == 0, ended.stderr
    assert not (found := left(folder)), found
    told = json.loads(Path(f"{folder}.told").read_text())
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert not (found := temporary(folder)), found
    result = subject.result(folder)
    assert result, "nothing to compare"
    return Whole(result, subject.names(folder), told["points"], told["seconds"], size)


def left(folder: Path) -> list[int]:
    """The processes that are in ``folder`` after ``SOON``; they are ended."""
    until = time.monotonic() + SOON
    while (found := processes(folder)) and time.monotonic() < until:
        time.sleep(0.05)
    for process in found:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return found


def processes(folder: Path) -> list[int]:
    """Those whose working folder it is: they are of a program that runs there, whoever their parent is by now."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if Path(os.readlink(entry / "cwd")) == folder.resolve():
                found.append(int(entry.name))
    return found


def problems(
    subject: Subject,
    inputs: Inputs,
    folder: Path,
    expected: Whole,
    fault: Fault,
    mend: Callable[[], object] = lambda: None,
) -> list[str]:
    """Everything in which the subject does not bear ``fault``; ``mend`` is called before the next run."""
    ended = run(subject, inputs, folder, fault)
    found = [f"leaves {len(orphans)} processes"] if (orphans := left(folder)) else []
    if ended.returncode in (-signal.SIGKILL, -signal.SIGPROF):
        found += [] if fault.kind in ("kill", "cpu") else [f"{fault} kills it"]
    else:
        found += [f"{fault}: {text}" for text in wrong_end(ended, subject, folder, expected)]
    mend()
    after = run(subject, inputs, folder)
    # All may have been done when the fault came; then the next run has nothing to do and may say so.
    found += [f"the next run: {text}" for text in wrong_end(after, subject, folder, expected)]
    kept = temporary(folder)
    if differences(subject, folder, expected):
        found.append(f"the next run ends with {after.returncode} and other results: {after.stderr[-1500:]}")
    else:
        found += [f"leaves {name}" for name in sorted(subject.names(folder) - expected.names)[:4]]
        found += [f"leaves {name} among temporary files" for name in kept[:4]]
    found += [f"the next run leaves {len(orphans)} processes"] if (orphans := left(folder)) else []
    if found:
        found.append(f"disturbed by {fault}, it said\n{ended.stdout[-800:]}{ended.stderr[-2500:]}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def environment(folder: Path) -> dict[str, str]:
    """Of programs that run in ``folder``."""
    place = _temporary(folder)
    place.mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(place), "OMP_NUM_THREADS": "1", "COLUMNS": "200", "no_proxy": "*"}


def _temporary(folder: Path) -> Path:
    """Where its temporary files lie: sockets are among them, whose names have to be short."""
    return Path(gettempdir(), f"faults-{blake2b(bytes(folder), digest_size=6).hexdigest()}")


def temporary(folder: Path) -> list[str]:
    """What lies among the temporary files, which are removed, but for Python's own of processes that were killed."""
    found = [name for name in os.listdir(_temporary(folder)) if not name.startswith("pymp-")]
    shutil.rmtree(_temporary(folder))
    return found


def wrong_end(ended: Ended, subject: Subject, folder: Path, expected: Whole) -> list[str]:
    """What is wrong with how a program has ended by itself: it has done its work, or says in a line why not."""
    if "Traceback" in ended.stdout + ended.stderr:
        return ["a traceback"]
    if ended.returncode == 0:
        return differences(subject, folder, expected)
    if ended.returncode not in (1, 2):
        return [f"exit code {ended.returncode}"]
    lines = ended.stderr.strip().splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith("error")), None)
    if start is None and ended.returncode == 2:
        return ["no line that says why"]
    # Warnings may stand above: each request that failed.
    return [] if start is None or len(lines) - start <= LINES else [f"{len(lines) - start} lines"]


def differences(subject: Subject, folder: Path, expected: Whole) -> list[str]:
    """Names of results that are not those of a program that nothing disturbs."""
    try:
        found = subject.result(folder)
    except (OSError, KeyError, ValueError) as error:
        return [f"no result: {type(error).__name__}: {error}"]
    names = [name for name in {**expected.result, **found} if expected.result.get(name) != found.get(name)]
    return [f"other {', '.join(names[:4])}"] if names else []
