"""``segkit`` as from a command line, but in the test's own process, which has torch imported already."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from segkit.cli import main


@dataclass(frozen=True)
class Outcome:
    """The exit code, and what was written to standard output and standard error."""

    code: int
    out: str
    err: str


def segkit(*words: str, cwd: Path) -> Outcome:
    """Run ``segkit <words>`` in the folder ``cwd``, whose modules are imported anew each time."""
    out, err, code = StringIO(), StringIO(), 0
    with _as_a_new_process(cwd), redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", ["", *words]):
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


@contextmanager
def _as_a_new_process(cwd: Path) -> Iterator[None]:
    log, path = logging.getLogger(), list(sys.path)
    handlers, level = log.handlers[:], log.level
    try:
        with chdir(cwd):
            yield
    finally:
        sys.path[:] = path
        for handler in log.handlers:
            handler.close()
        log.handlers[:], log.level = handlers, level
        inside = f"{cwd}{os.sep}"  # compared as text: there are thousands of modules
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(inside):
                del sys.modules[name]
