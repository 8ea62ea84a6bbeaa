"""What a sweep keeps in its folder: the lock that gives it to one process, and ``sweep.json``."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segkit.errors import UserError
from segkit.runs.files import locked, write_whole
from segkit.runs.folder import LOCK, remove_empty
from segkit.runs.stamp import check_stamp, stamped
from segkit.sweeps.plan import Plan


class Record:
    """``sweep.json``: each command that was given for the sweep's folder, and how far it came.

    Raises:
        UserError: the file is damaged, or of a later version of segkit.
    """

    def __init__(self, plan: Plan, jobs: int) -> None:
        self.path = plan.folder / "sweep.json"
        self.before: list[dict[str, Any]] = []
        if self.path.exists():
            try:
                self.before = list(json.loads(self.path.read_text()))
            except (ValueError, TypeError) as error:
                raise UserError(f"{self.path} is damaged ({error}); remove it") from error
            for entry in self.before:
                check_stamp(entry, self.path)
        launcher = str(plan.launcher.get("kind", "basic"))
        about = {"command": plan.command, "launcher": launcher, "started": time.time(), "jobs": jobs}
        self.entry = stamped(about)
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._started, 3)

    def write(self, counts: dict[str, int]) -> None:
        """Write the file anew, with the seconds and the counts so far."""
        entries = [*self.before, self.entry | {"seconds": self.seconds, **counts}]
        with suppress(OSError):  # a full disk may come to an end; the running jobs are worth more
            write_whole(self.path, (json.dumps(entries, indent=2) + "\n").encode())


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Within it, the sweep's folder is this process's alone. If nothing comes to lie in it, it is removed again.

    Raises:
        UserError: it is another process's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = locked(folder / LOCK, f"{folder}: another sweep runs in it; wait for its end, or give another sweep.name")
    try:
        yield
    finally:
        if [entry.name for entry in folder.iterdir()] == [LOCK]:
            (folder / LOCK).unlink()
            remove_empty(folder)
        lock.release()
