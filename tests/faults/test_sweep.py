"""A sweep of a hundred small jobs: jobs are killed, the sweep is killed, the disk is full for a minute."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness import differences, environment, left, processes, temporary, whole
from tests.faults.inside import mount, unmount
from tests.faults.subjects import TRAINING, Inputs, Subject, words
from tests.processes import Program

JOBS = 100
KILLED_JOBS, KILLED_SWEEPS = 12, 4
FULL_SECONDS = 60.0
ROOM = 1 << 30
AGAIN = 40
"""Times that the command may be given."""

SWEEP = Subject(
    "sweep of a hundred jobs",
    words("train", "-m", *TRAINING, "trainer.max_epochs=2", "data.workers=0", "predictions=0", "sweep.name=many",
          f"seed={','.join(map(str, range(JOBS)))}", data__root="kitti"),
    runs=("outputs/sweeps/many/*/",),
    spawns=1,
)  # fmt: skip


class Disturbed:
    """The sweep, started again where it has ended, and what happens to it."""

    def __init__(self, inputs: Inputs, folder: Path) -> None:
        self.inputs, self.folder = inputs, folder
        self.started, self.most, self.orphans = 0, AGAIN, 0
        self.codes: list[int] = []
        self.start()

    def start(self) -> None:
        self.log = open(f"{self.folder}.log", "ab")  # noqa: SIM115 - closed with the program's end
        program, out = SWEEP.program(self.inputs), self.log.fileno()
        self.program = Program(program, (), self.folder, environment(self.folder), out, out, spawns=1)
        self.started += 1

    def finished(self) -> int:
        """Jobs that have finished."""
        found = 0
        for path in self.folder.glob("outputs/sweeps/many/*/result.json"):
            with suppress(OSError):
                found += '"status": "finished"' in path.read_text()
        return found

    def job(self) -> int | None:
        """The process of a job: it leads a session of its own."""
        for process in processes(self.folder):
            with suppress(ProcessLookupError):
                if process != self.program.pid and os.getsid(process) == process:
                    return process
        return None

    def goes_on(self) -> bool:
        """Whether it runs; where it has ended with jobs that failed it is started again."""
        if self.program.poll() is None:
            return True
        self.log.close()
        self.codes.append(self.program.returncode)
        self.orphans += len(left(self.folder))
        if self.program.returncode == 0 or self.started >= self.most:
            return False
        self.start()
        return True

    def kill_job(self) -> bool:
        if (process := self.job()) is None:
            return False
        os.kill(process, signal.SIGKILL)
        return True

    def kill_sweep(self) -> bool:
        self.program.kill()
        self.program.wait()
        return True

    def fill_disk(self) -> bool:
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        until = time.monotonic() + FULL_SECONDS
        while time.monotonic() < until and self.goes_on():
            self.most = self.started + AGAIN  # while the disk is full no command gets anywhere
            time.sleep(0.2)
        ballast.unlink()
        return True


@pytest.mark.skipif(os.environ.get("FAULTS") != "all", reason="takes minutes: make faults")
def test_a_sweep_ends_complete_and_as_one_that_nothing_disturbs(tmp_path: Path, record_property: Any) -> None:
    record_property("area", "faults: a sweep of 100 jobs")
    inputs, folder = Inputs(tmp_path / "inputs"), tmp_path / "here"
    expected = whole(SWEEP, inputs, tmp_path / "undisturbed" / "here")
    folder.mkdir()
    if not mount(folder, ROOM):
        pytest.skip("no file system may be mounted here")
    try:
        sweep, chosen = Disturbed(inputs, folder), random.Random("sweep")
        kinds: list[Callable[[], bool]] = [sweep.kill_job] * KILLED_JOBS + [sweep.kill_sweep] * KILLED_SWEEPS
        kinds.append(sweep.fill_disk)
        chosen.shuffle(kinds)
        happens = list(zip(sorted(chosen.sample(range(JOBS - 5), len(kinds))), kinds, strict=True))
        while sweep.goes_on():
            if happens and sweep.finished() >= happens[0][0] and happens[0][1]():
                happens.pop(0)
            time.sleep(0.02)
        assert not happens
        assert sweep.codes[-1] == 0, Path(f"{folder}.log").read_text(errors="replace")[-3000:]
        assert sweep.orphans == 0
        assert not differences(SWEEP, folder, expected)
        assert sweep.finished() == JOBS
        assert not SWEEP.names(folder) - expected.names
        assert not temporary(folder)
        record_property("note", f"the command was given {sweep.started} times; exit codes {sweep.codes}")
    finally:
        unmount(folder)
