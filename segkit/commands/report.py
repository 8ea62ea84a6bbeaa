"""``segkit report``: what a run, a sweep or some evaluations measured, as a page and as an entry of the lab book."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from segkit.commands.runner import Typed
from segkit.config.overrides import override, value_of
from segkit.config.schema import ReportSettings
from segkit.errors import UserError
from segkit.remote.address import Address, is_address
from segkit.remote.local import local_settings
from segkit.reporting.lab_book import finished_in, write_entry
from segkit.reporting.markdown import check_writable
from segkit.reporting.sweep_report import write_report
from segkit.runs.find import SWEEPS, find_sweep, run_folders
from segkit.runs.folder import RunFolder
from segkit.runs.read import is_training, read_run
from segkit.runs.regular import real

SETTINGS = ReportSettings
KEEPS_CONFIG = False  # the entry is for committing


def prepare(typed: Typed) -> Typed:
    """Put ``into=<the sweep's folder>/report`` where ``sweep=`` is given without ``into=``.

    Raises:
        UserError: there is no such sweep.
    """
    place = value_of(typed.words, "sweep")
    if place is None and value_of(typed.words, "run") is None:
        raise UserError("give run=<run folder> or sweep=<name or folder>, one of the two")
    if place is None or value_of(typed.words, "into") is not None:
        return typed
    # Of one that lies elsewhere, where it would lie here.
    base = SWEEPS / Address.parse(place, f"sweep={place}").name if is_address(place) else find_sweep(str(place))
    into = override("into", str(base / "report"))
    return replace(typed, words=[*typed.words, into])


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Write ``README.md``, ``result.json`` and pictures into ``folder``; of a sweep also tables, figures and a page.

    Raises:
        UserError: ``run`` or ``sweep`` names nothing that can be reported, or things that do not go together.
    """
    if (settings["run"] is None) == (settings["sweep"] is None):
        raise UserError("give run=<run folder> or sweep=<name or folder>, one of the two")
    check_writable(folder.path)
    settings = local_settings(settings)
    question, pictures = settings["question"], settings["pictures"]
    if settings["sweep"] is not None:
        base = find_sweep(settings["sweep"])
        runs = [source for source in run_folders(base) if is_training(source)]
        if not runs:
            raise UserError(f"sweep={settings['sweep']}: no run folders of segkit train in {base}")
        title = question or f"Sweep {real(base).name}"
        write_report(folder.path, [read_run(source) for source in runs], base, title, pictures)
        return
    places = settings["run"] if isinstance(settings["run"], list) else [settings["run"]]
    places = [Path(place).expanduser() for place in places]
    sources = list(dict.fromkeys(source for place in places for source in run_folders(place)))
    missing = [source for source in sources if not source.is_dir()]
    if missing and len(sources) > 1:
        raise UserError(f"run={missing[0]}: no such folder")
    training = [is_training(source) for source in sources]
    if any(training) and not all(training):
        raise UserError("run: these are runs of segkit train and of segkit evaluate; give the ones or the others")
    if all(training) and sources != places[:1]:
        sources = [real(source) for source in sources]
        base = Path(os.path.commonpath([source.parent for source in sources]))
        title = question or f"Runs of segkit train in {base.name}"
        write_report(folder.path, [read_run(source) for source in sources], base, title, pictures)
    else:
        finished = [source for place in places for source in finished_in(place)]
        write_entry(folder.path, finished, question, pictures)
