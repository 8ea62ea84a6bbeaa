import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segkit.sweeps.ray_session import Ending

HELPER = "import signal; signal.pause()"
SWEEP = "import sys, signal; from segkit.sweeps.ray_session import Ending; Ending(sys.argv[1]); print(1, flush=True)"


@pytest.mark.parametrize("killed", [True, False])
def test_processes_of_the_session_end_with_the_sweep(tmp_path: Path, killed: bool) -> None:
    session, other = str(tmp_path / "session_1"), str(tmp_path / "session_2")
    helper, foreign = (subprocess.Popen([sys.executable, "-c", HELPER, each]) for each in (session, other))
    try:
        if killed:
            command = [sys.executable, "-c", f"{SWEEP}; signal.pause()", session[::-1]]
            command[2] = command[2].replace("sys.argv[1]", "sys.argv[1][::-1]")  # it does not name the session itself
            with subprocess.Popen(command, stdout=subprocess.PIPE) as sweep:
                assert sweep.stdout.readline() == b"1\n"
                assert helper.poll() is None
                os.kill(sweep.pid, signal.SIGKILL)
        else:
            Ending(session).now()
        handle = os.pidfd_open(helper.pid)
        assert select.select([handle], [], [], 30)[0]
        os.close(handle)
        assert helper.wait() == -signal.SIGKILL
        assert foreign.poll() is None
    finally:
        for process in (helper, foreign):
            process.kill()
            process.wait()
