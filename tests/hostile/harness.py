"""Hostile cases: what a case is, how it is run, and what is held against it."""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.fixtures import write_kitti
from tests.hostile.ingredients import MODEL_WORDS

TRAINING = ["data.image_shape=[32,64]", "data.split=fraction", "data.val_fraction=0.5", "data.workers=0"]
TRAINING += ["trainer.max_epochs=1", "trainer.gpus=0", "predictions=0", "data.batch_size=3"]
REPOSITORY = Path(__file__).resolve().parents[2]
MEMORY_GIB = 4.0
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


class Zygote:
    """The warmed process (``zygote.py``)."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
        environment.pop("PYTEST_CURRENT_TEST", None)
        command = [sys.executable, "-m", "tests.hostile.zygote"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, **pipes)  # type: ignore[call-overload]
        assert self.process.stdout.readline() == "ready\n"
        self.seconds = 0.0
        self.scratch = Path(tempfile.mkdtemp(prefix="hostile-"))

    def run(self, words: Sequence[str], folder: Path, seconds: float) -> dict[str, Any]:
        """What became of ``segkit <words>`` in ``folder``; see ``zygote.followed``."""
        asked = {"words": list(words), "folder": str(folder), "seconds": seconds}
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.seconds += answer["seconds"]
        return answer

    @cached_property
    def trained(self) -> Path:
        """A folder with ``run`` and ``data/data_road``: a run of one epoch, trained when it is first asked for."""
        folder = self.scratch / "trained"
        folder.mkdir()
        write_kitti(folder / "data/data_road", 2, 1)
        ended = self.run(["train", *MODEL_WORDS, *TRAINING, "hydra.run.dir=run"], folder, 60)
        assert ended["code"] == 0, Path(f"{folder}.err").read_text()
        return folder

    def close(self) -> None:
        """End it."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.process.stdin.close()
        self.process.wait()


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


def broken(case: Case, folder: Path, zygote: Zygote) -> list[str]:
    """Everything in which a case does not end as it has to; run in the empty ``folder``."""
    if case.trained:
        shutil.copytree(zygote.trained, folder, dirs_exist_ok=True)
    words = [str(word) for word in case.build(folder)]
    before = snapshot(folder)
    ended = zygote.run(words, folder, case.seconds)
    after = snapshot(folder)
    out, err = (Path(f"{folder}.{name}").read_text(errors="replace") for name in ("out", "err"))
    found = []
    if ended["late"]:
        found.append(f"hangs: killed after {case.seconds:g} s")
    elif ended["code"] != case.code:
        found.append(f"exit code {ended['code']} instead of {case.code}")
    if ended["orphans"]:
        found.append("leaves processes")
    if ended["gib"] > MEMORY_GIB:
        found.append(f"takes {ended['gib']:.1f} GiB")
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
