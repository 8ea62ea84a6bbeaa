"""What people name on a command line, found: runs, sweeps, checkpoints and files made of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segkit.errors import UserError, printable
from segkit.runs.folder import CONFIG
from segkit.runs.plain import read_json
from segkit.runs.read import Run, read_run
from segkit.runs.regular import real

LONGEST = 300
"""Characters of a path that a line shows, the last ones."""

SWEEPS = Path("outputs", "sweeps")

EXPORTED = (".onnx", ".pt2", ".xml")
"""Endings of the files that ``segkit export`` writes."""

PACKAGED = "model.safetensors"
"""The weights in a folder of ``segkit package``."""

PACKAGED_ENTRY = "config.json"
"""The file beside them that says how the network is built."""

BUNDLED = "bundled"
"""The place that means the network which comes with segkit; a folder of this name is ``./bundled``."""

BUNDLED_FOLDER = Path(__file__).resolve().parents[1] / "bundled"
"""A folder of ``segkit package``, in a checkout as in an installed package."""


@dataclass(frozen=True)
class TrainedRun:
    """A checkpoint, and the run that it lies in the folder of; None where nobody knows how it was trained."""

    checkpoint: Path
    run: Run | None

    @property
    def folder(self) -> Path | None:
        return None if self.run is None else self.run.folder

    def settings(self) -> dict[str, Any]:
        """The whole config that the run was trained with; empty where that is not known."""
        return {} if self.run is None else self.run.settings

    def command(self) -> list[str]:
        """The settings that the run was started with, as they were typed."""
        return [] if self.run is None else self.run.overrides()

    def finished(self) -> bool:
        """Whether the run is known to have come to its end."""
        return self.run is not None and self.run.status == "finished"


def folder_of(place: str | Path) -> Path:
    """The file or folder that a place means."""
    return BUNDLED_FOLDER if str(place) == BUNDLED else Path(place).expanduser()


def run_folders(place: Path) -> list[Path]:
    """A run folder as itself, the folder of a sweep as the run folders in it, by their names."""
    if (place / CONFIG).is_dir() or not place.is_dir():
        return [place]
    found = [child for child in place.iterdir() if (child / CONFIG).is_dir()]
    return sorted(found, key=lambda path: (len(path.name), path.name)) or [place]


def find_sweep(place: str) -> Path:
    """The folder of the sweep that ``place`` names: one in ``outputs/sweeps/``, or any folder.

    Raises:
        UserError: there is none, or it is a run folder.
    """
    named, folder = SWEEPS / place, Path(place).expanduser()
    found = named if place and named.is_dir() else folder
    if not place or not found.is_dir():
        raise UserError(f"sweep={place}: no such sweep; give a name under {SWEEPS} or a folder of run folders")
    if (found / CONFIG).is_dir():
        raise UserError(f"sweep={place}: this is a run folder; give run={place}")
    return found


def find_runs(place: str) -> list[TrainedRun]:
    """The runs meant by a ``.ckpt`` file, a run folder, or the folder of a sweep (all runs in it).

    Raises:
        UserError: there is none, or a run of the sweep has left no checkpoint.
    """
    if not place:
        raise UserError("checkpoint= is empty; give a .ckpt file or a run folder")
    found = []
    for job in run_folders(folder_of(place)):
        checkpoint = find_checkpoint(job, "checkpoint")
        above = home_of(_made_of(checkpoint))
        found.append(TrainedRun(checkpoint, read_run(above) if (above / CONFIG).is_dir() else None))
    return found


def find_run(place: str) -> TrainedRun:
    """The one run, or the one checkpoint, that ``checkpoint=place`` means.

    Raises:
        UserError: there is none, or it is the folder of a sweep.
    """
    found = find_runs(place)
    if len(found) > 1:
        raise UserError(f"checkpoint={place}: this is the folder of a sweep; give one of its runs")
    return found[0]


def is_exported(path: Path) -> bool:
    """Whether a file, by its name, is one that ``segkit export`` writes."""
    return path.suffix.lower() in EXPORTED


def about_exported(path: Path) -> Path:
    """The file beside an exported one that says how it was made."""
    return path.with_name(f"{path.name}.json")


def _made_of(path: Path) -> Path:
    """The checkpoint that an exported file, which may lie anywhere, was made of, as long as that is there."""
    try:
        checkpoint = Path(read_json(about_exported(path))["checkpoint"]) if is_exported(path) else path
    except (OSError, UserError, KeyError, TypeError):
        return path
    return checkpoint if checkpoint.is_file() else path


def is_sweep(place: str) -> bool:
    """Whether ``place`` is a folder of run folders."""
    path = folder_of(place)
    return run_folders(path) != [path]


def find_checkpoint(place: str | Path, key: str) -> Path:
    """The checkpoint meant by a ``.ckpt`` file or by a run folder (its ``best.ckpt``); an exported file is itself.

    Of a folder of ``segkit package`` it is the file of the weights; ``bundled`` is the one that comes with segkit.

    Raises:
        UserError: naming ``key``, when it is not there.
    """
    path = folder_of(place)
    if path == BUNDLED_FOLDER and not (path / PACKAGED).is_file():
        raise UserError(
            f"{key}: this copy of segkit comes without a network ({path / PACKAGED} is not there); "
            "give a .ckpt file or a run folder"
        )
    if path.is_dir():
        packaged = path / PACKAGED
        path = packaged if packaged.is_file() else path / "checkpoints" / "best.ckpt"
    if not path.is_file():
        wrong = "is no file" if os.path.lexists(path) else "does not exist"
        raise UserError(
            f"{key}: {printable(path)[-LONGEST:]} {wrong}; give a .ckpt file or a run folder that holds one"
        )
    return path


def home_of(checkpoint: Path) -> Path:
    """The folder that a checkpoint belongs to: a run's, which has it in ``checkpoints/``, or a package's."""
    above = checkpoint.absolute().parent
    return above if checkpoint.name == PACKAGED else above.parent


def find_checkpoints(places: Sequence[str], key: str) -> list[Path]:
    """The checkpoints meant by several places, each as for ``find_checkpoint``.

    Raises:
        UserError: naming ``key``, when one is not there, or is there twice.
    """
    found = [find_checkpoint(place, key) for place in places]
    if twice := [path for number, path in enumerate(found) if real(path) in map(real, found[:number])]:
        raise UserError(f"{key}: {twice[0]} is given twice; give each network once")
    return found
