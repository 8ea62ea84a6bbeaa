"""Hostile cases: what a case is, how it is run, and what is held against it."""

import hashlib
import os
import re
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from tests.fixtures import write_kitti
from tests.hostile.ingredients import MODEL_WORDS
from tests.hostile.limited import segkit
from tests.processes import Program

TRAINING = ["data.image_shape=[32,64]", "data.split=fraction", "data.val_fraction=0.5", "data.workers=0"]
TRAINING += ["trainer.max_epochs=1", "trainer.gpus=0", "predictions=0", "data.batch_size=3"]
GRACE = 3.0
"""Seconds in which the processes that a command has started have to end after it."""

LINES = 2
"""Lines that a mistake may take."""


@dataclass(frozen=True)
class Case:
    """Something hostile or mistaken, and how it has to end.

    Attributes:
        name: what it is, in a few words.
        build: writes what is needed into a folder, and gives the command's words.
        expected: a pattern in what is printed: culprit and remedy.
        code: the exit code: 2, or 1 where some inputs of many failed; 0 where it is to be borne.
        leaves: what may lie in the folder afterwards beside what was built: files, and folders with all in them.
        lines: lines that the message may have; a data set's report has more than two.
        check: what else is to hold, of the folder afterwards.
        seconds: in which it has to end.
        trained: whether ``run``, a run of one epoch, and ``data/data_road``, its data, lie there before.
    """

    name: str
    build: Callable[[Path], Sequence[str]]
    expected: str
    code: int = 2
    leaves: tuple[str, ...] = ()
    lines: int = LINES
    check: Callable[[Path], None] = lambda folder: None
    seconds: float = 60
    trained: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Ran:
    """What became of a command: exit code (negative: the signal's number), what it said, and how it ended."""

    code: int
    out: str
    err: str
    late: bool
    orphans: bool


class Workplace:
    """Where commands run, and what they are given."""

    def __init__(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="hostile-"))

    def run(self, words: Sequence[str], folder: Path, seconds: float) -> Ran:
        """``segkit <words>`` in ``folder``, with limits, for so many seconds at most."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        environment.pop("PYTEST_CURRENT_TEST", None)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            program = Program(partial(segkit, list(words)), (), folder, environment, out.fileno(), err.fileno())
            late = False
            try:
                code = program.wait(seconds)
            except TimeoutError:
                late, code = True, -signal.SIGKILL
            end = time.monotonic() + (0 if late else GRACE)
            while alive(program.pid) and time.monotonic() < end:
                time.sleep(0.02)
            if orphans := alive(program.pid):
                os.killpg(program.pid, signal.SIGKILL)
            for file in (out, err):
                file.seek(0)
            said = [file.buffer.read().decode(errors="replace") for file in (out, err)]
        return Ran(code, *said, late, orphans and not late)

    @cached_property
    def trained(self) -> Path:
        """A folder with ``run`` and ``data/data_road``: a run of one epoch, trained when it is first asked for."""
        folder = self.scratch / "trained"
        folder.mkdir()
        write_kitti(folder / "data/data_road", 2, 1)
        ended = self.run(["train", *MODEL_WORDS, *TRAINING, "hydra.run.dir=run"], folder, 60)
        assert ended.code == 0, ended.err
        return folder

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.scratch, ignore_errors=True)


def alive(group: int) -> bool:
    """Whether a process group has members."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder by its name: what kind of file it is, and its content. Links are not followed."""
    found: dict[str, tuple[object, ...]] = {}
    for above, folders, files in os.walk(os.fsencode(folder)):
        for name in (*folders, *files):
            path = os.path.join(above, name)
            about = os.lstat(path)
            content: object = None
            if stat.S_ISLNK(about.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(about.st_mode) and about.st_blocks * 512 <= 1 << 26:
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read(1 << 26)).digest()
            key = os.fsdecode(os.path.relpath(path, os.fsencode(folder)))
            found[key] = (stat.S_IFMT(about.st_mode), content)
    return found


def broken(case: Case, folder: Path, workplace: Workplace) -> list[str]:
    """Everything in which a case does not end as it has to; run in the empty ``folder``."""
    if case.trained:
        shutil.copytree(workplace.trained, folder, dirs_exist_ok=True)
    words = [str(word) for word in case.build(folder)]
    before = snapshot(folder)
    ended = workplace.run(words, folder, case.seconds)
    after = snapshot(folder)
    out, err = ended.out, ended.err
    found = []
    if ended.late:
        found.append(f"hangs: killed after {case.seconds:g} s")
    elif ended.code != case.code:
        found.append(f"exit code {ended['code']} instead of {case.code}")
    if ended.orphans:
        found.append("leaves processes")
    if "Traceback" in out + err:
        found.append("prints a traceback")
    if case.code == 2 and len(err.strip().splitlines()) > case.lines:
        found.append(f"says {len(err.strip().splitlines())} lines")
    if not re.search(case.expected, out + err, re.DOTALL):
        found.append(f"does not say {case.expected!r}")
    changed = [name for name, content in before.items() if after.get(name) != content]
    found += [f"has changed {name}" for name in changed if not name.startswith(case.leaves or ("\0",))]
    new = sorted(after.keys() - before.keys())
    unwanted = [name for name in new if not any(f"{name}/".startswith(f"{leaf}/") for leaf in case.leaves)]
    found += [f"leaves {name}" for name in unwanted[:3]]
    found += [f"leaves {name}" for name in new if re.search(r"\.part$|\.segkit$|\.generating", name)]
    try:
        case.check(folder)
    except Exception as error:
        found.append(f"afterwards: {type(error).__name__}: {error}")
    if found:
        found.append(f"segkit {' '.join(words)}\n{out[-1500:]}{err[-2500:]}")
    return found
