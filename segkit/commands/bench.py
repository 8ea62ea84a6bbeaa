"""``segkit bench``: what the program can do in a second, against others in the same run."""

import importlib
import logging
import os
import shutil
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segkit.config.schema import BenchSettings
from segkit.errors import UserError
from segkit.remote.local import local_settings
from segkit.runs.folder import RunFolder, environment, write_result

SETTINGS = BenchSettings
ALL = ("train", "loader", "predict", "startup")
log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Measure what ``what`` says, print its tables, write them into ``into`` as CSV and into its README.md.

    Raises:
        UserError: a GPU, a data set or a checkpoint that is not there, a place that cannot be written, a program that
            failed.
    """
    from segkit.benchmarks.readme import put
    from segkit.benchmarks.table import Table, as_text, write_csv

    settings = local_settings(settings)
    into = Path(settings["into"]).expanduser()
    there = next(folder for folder in (into, *into.absolute().parents) if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):  # told now, not after minutes of measuring
        raise UserError(f"into={into}: {there} is no folder that can be written; give another one")
    tables: list[Table] = []
    files: list[str] = []
    # As an exception it ends the program that is being measured too, which would disturb whatever is measured next.
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        for what in ALL if settings["what"] == "all" else [settings["what"]]:
            new = importlib.import_module(f"segkit.benchmarks.{what}").run(settings, folder.path)
            for table in new:
                log.info("\n%s", as_text(table))
                into.mkdir(parents=True, exist_ok=True)
                files.append(str(write_csv(table, into)))
                put(table, into)
            tables += new
            about = {"what": settings["what"], "host": socket.gethostname(), **environment()}
            # After each of them: what has been measured is kept, whatever becomes of the next one.
            write_result(folder.path, "bench", about | {"files": files, "tables": [asdict(table) for table in tables]})
    finally:
        signal.signal(signal.SIGTERM, before)
        shutil.rmtree(folder.path / "scratch", ignore_errors=True)
    log.info("\nwritten: %s", ", ".join(files))
