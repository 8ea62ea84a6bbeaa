"""Processes that a killed process leaves behind: none."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segkit.distributed.forkserver import server_context
from segkit.errors import UserError
from tests.processes import call

PATIENCE = 60.0
"""Seconds in which all processes have to be there."""
SOON = 10.0
"""Seconds in which all have to be gone."""

LOADER = """
from torch.utils.data import DataLoader
from segkit.data.workers import start_worker
from segkit.distributed.forkserver import server_context

if __name__ == "__main__":
    context = server_context(["segkit.data.workers"])
    loader = DataLoader([1, 2, 3, 4], num_workers=2, worker_init_fn=start_worker, multiprocessing_context=context)
    batches = iter(loader)
    next(batches)
    print("begun", flush=True)
    input()
"""

SCENES = """
import sys
from pathlib import Path
from segkit.scenes.generate import generate_scenes

if __name__ == "__main__":
    generate_scenes(Path(sys.argv[1]), (10_000, 0), workers=2, on_done=lambda done, total: print("begun", flush=True))
"""


def state_and_parent(pid: int) -> tuple[str, int]:
    """As Linux has them: ``Z`` is a process that has died and that nobody has asked about."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return "Z", 0
    return state, int(parent)


def descendants(pid: int) -> set[int]:
    parents = {int(path.name): state_and_parent(int(path.name))[1] for path in Path("/proc").glob("[0-9]*")}
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        found |= new
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux which processes there are")
@pytest.mark.parametrize(("script", "least"), [(LOADER, 3), (SCENES, 2)], ids=["loader", "scenes"])
def test_nothing_outlives_a_killed_process(script: str, least: int, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(script)
    command = [sys.executable, str(tmp_path / "main.py"), str(tmp_path / "scenes")]
    main = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert main.stdin is not None
    assert main.stdout is not None
    assert main.stdout.readline() == "begun\n"
    until = time.monotonic() + PATIENCE
    while len(children := descendants(main.pid)) < least:
        assert time.monotonic() < until
    main.send_signal(signal.SIGKILL)
    main.wait(PATIENCE)
    until = time.monotonic() + SOON
    while left := [pid for pid in children if state_and_parent(pid)[0] != "Z"]:
        assert time.monotonic() < until, f"{len(left)} of {len(children)} processes are left"
    main.stdin.close()
    main.stdout.close()


def test_a_folder_of_temporary_files_with_too_long_a_name_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ("x" * 120)
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    with pytest.raises(UserError, match=r"^TMPDIR=.*/xxx.*: too long a name for sockets"):
        call(server_context, [])
