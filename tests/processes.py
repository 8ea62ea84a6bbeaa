"""Python programs in processes of their own that start at once: forked from a server that has imported torch.

What a test proves of a process (its exit code, what it prints, what a signal does to it) it proves of these as of one
that is started anew, which takes some five seconds of a processor. Whoever looks at what is imported, and when, starts
``sys.executable``.
"""

import atexit
import fcntl
import os
import pickle
import runpy
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver, get_context, process, util
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TextIO
from unittest.mock import patch

SEGKIT = "from segkit.cli import main; main()"

REPOSITORY = Path(__file__).resolve().parents[1]
_MAIN = process.current_process()
_SERVER = forkserver.ForkServer()
_SERVER.set_forkserver_preload(["tests.warm"])


def _start_server() -> None:
    """Unless it runs. It imports segkit from this checkout, whichever folder a test is in and whatever lies there."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    with patch.dict(os.environ, {"PYTHONSAFEPATH": "1", "PYTHONPATH": path}):
        _SERVER.ensure_running()


@dataclass(frozen=True)
class Ended:
    """As ``subprocess.CompletedProcess``."""

    returncode: int
    stdout: str
    stderr: str


class Program:
    """A process that is running; the part of ``subprocess.Popen`` that tests need.

    Args:
        code: the program, as after ``python -c``; or a path, the file that is run; or a function to call.
        words: its command line.
        cwd: the folder that it runs in.
        environment: all of its environment; that of the test when left out.
        out, err: descriptors for what it prints; a pipe for both, which is ``stdout`` here, when left out.
        spawns: so many processes that it starts through ``multiprocessing`` start at once too.
        below: so many that each of these starts do too; where it is a server, each process that is forked from it.
    """

    def __init__(
        self,
        code: str | Path | Callable[[], object],
        words: Sequence[str] = (),
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        out: int | None = None,
        err: int | None = None,
        spawns: int = 0,
        below: int = 0,
    ) -> None:
        self.stdout: TextIO | None = None
        ends = []
        if out is None:
            mine, its = Pipe(duplex=False)
            self.stdout = os.fdopen(os.dup(mine.fileno()), encoding="utf8")
            mine.close()
            out = os.dup(its.fileno())
            its.close()
            ends.append(out)
        streams = [Connection(os.dup(end), readable=False) for end in (out, out if err is None else err)]
        task = (code, list(words), str(cwd or Path.cwd()), dict(environment or os.environ), *streams, (spawns, below))
        self._process = get_context("forkserver").Process(target=_become, args=task)
        _start_server()
        with patch.object(forkserver, "connect_to_new_process", _SERVER.connect_to_new_process):
            self._process.start()
        for stream in streams:
            stream.close()
        for end in ends:
            os.close(end)
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    @property
    def returncode(self) -> int:
        code = self._process.exitcode
        assert code is not None
        return code

    def wait(self, timeout: float = 300) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            self.kill()
            raise TimeoutError(f"process {self.pid} has not ended after {timeout} s")
        return self._process.exitcode

    def communicate(self) -> str:
        """What it prints until its end."""
        assert self.stdout is not None
        said = self.stdout.read()
        self.wait()
        return said

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def python(
    code: str | Path | Callable[[], object],
    *words: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    spawns: int = 0,
    below: int = 0,
) -> Ended:
    """Run a program to its end, as ``subprocess.run`` does; see :class:`Program`."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        code = Program(code, words, cwd, environment, out.fileno(), err.fileno(), spawns, below).wait()
        out.seek(0)
        err.seek(0)
        return Ended(code, out.read(), err.read())


def call(function: Callable[..., Any], *arguments: Any, spawns: int = 0) -> Any:
    """What the function returns or raises, in a process of its own."""
    receiver, sender = Pipe(duplex=False)
    with receiver:
        with sender:
            answer = partial(_answer, sender, function, arguments)
            program = Program(answer, out=1, err=2, spawns=spawns)
        try:
            result, error = pickle.loads(receiver.recv_bytes())
        except EOFError:
            raise RuntimeError(f"the process ended with exit code {program.wait()}") from None
        program.wait()
    if error is not None:
        raise error
    return result


def _answer(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        outcome = function(*arguments), None
    except Exception as error:
        outcome = None, error
    sender.send_bytes(pickle.dumps(outcome))  # whole: torch's tensors would be fetched from a process that has ended


def _become(
    code: str | Path | Callable[[], object],
    words: list[str],
    cwd: str,
    environment: dict[str, str],
    out: Connection,
    err: Connection,
    spawns: tuple[int, int],
) -> None:
    """Forget that a test has made this process, and run the program."""
    os.setsid()  # as a terminal's job: a signal to its group is not the test's
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    for stream in (out, err):
        stream.close()
    # Those that the process began with may have been files, and ask where in them they are.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.close(forkserver._forkserver._forkserver_alive_fd)
    forkserver._forkserver.__init__()  # type: ignore[misc]
    process._parent_process, process._current_process = None, type(_MAIN)()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    tempfile.tempdir = None  # TMPDIR may be another one here
    _prepare_spawning(*spawns)
    sys.argv = [str(code) if isinstance(code, Path) else "-c", *words]
    sys.path.insert(0, str(code.parent) if isinstance(code, Path) else "")
    try:
        if isinstance(code, Path):
            runpy.run_path(str(code), run_name="__main__")
        else:
            _run(code)
    finally:
        util._exit_function()
        atexit._run_exitfuncs()


def _run(code: str | Callable[[], object]) -> None:
    main = sys.modules["__main__"] = ModuleType("__main__")
    if isinstance(code, str):
        exec(compile(code, "<string>", "exec"), vars(main))
    else:
        code()


def _prepare_spawning(count: int, below: int) -> None:
    """Let the next ``count`` children of ``multiprocessing`` be processes that wait from now on, and ``below`` of each
    of theirs."""
    waiting: list[tuple[int, socket.socket]] = []
    for _ in range(count):
        its, mine = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            for _, other in [*waiting, (0, mine)]:
                other.close()
            _prepare_spawning(below, 0)
            _obey(its, below)
        its.close()
        waiting.append((pid, mine))
    spawn = util.spawnv_passfds

    def spawnv_passfds(path: bytes, words: list[str], descriptors: list[int]) -> int:
        start = words.index("-c") + 1
        if not waiting or "resource_tracker" in words[start]:
            return spawn(path, words, descriptors)
        pid, mine = waiting.pop(0)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        order = pickle.dumps((words[start:], dict(os.environ), blocked, descriptors))
        socket.send_fds(mine, [order], descriptors)
        mine.close()
        return pid

    util.spawnv_passfds = spawnv_passfds


def _prepare_forked(count: int, server: int) -> None:
    """``_prepare_spawning`` in a process that the server has forked; not in what that one forks."""
    if os.getppid() == server:
        _prepare_spawning(count, 0)


def _obey(orders: socket.socket, below: int) -> NoReturn:
    """What ``spawnv_passfds`` asks of a new interpreter; nothing, where the asking process ends without it."""
    order, received, _, _ = socket.recv_fds(orders, 2**18, 16)
    orders.close()
    if not order:
        os._exit(0)
    (code, *words), environment, blocked, descriptors = pickle.loads(order)
    above = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 1 + max(descriptors)) for descriptor in received]
    for descriptor in received:
        os.close(descriptor)
    for descriptor, number in zip(above, descriptors, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if below and "forkserver" in code:
        os.register_at_fork(after_in_child=partial(_prepare_forked, below, os.getpid()))
    os.environ.clear()
    os.environ.update(environment)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    sys.argv = ["-c", *words]
    status = 1
    try:
        _run(code)
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        util._exit_function()
        atexit._run_exitfuncs()
        util._flush_std_streams()
        os._exit(status)
