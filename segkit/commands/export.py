"""``segkit export``: a trained network as one file for other programs, held against PyTorch before it is kept."""

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.config.overrides import as_list
from segkit.config.trained_schema import EXPORT_ENDINGS, ExportSettings
from segkit.console import progress_bar
from segkit.errors import UserError
from segkit.predict.inputs import find_pictures
from segkit.remote.local import local_settings
from segkit.runs.files import beside, check_new
from segkit.runs.find import TrainedRun, about_exported, find_run, home_of, is_exported
from segkit.runs.folder import RunFolder, environment, write_result
from segkit.runs.plain import read_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SETTINGS = ExportSettings
TOLERANCE = {"fp32": 0.001, "fp16": 0.001, "int8": 0.01}
"""Largest share of pixels that may be of another class than PyTorch's."""

log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Write ``output``, what is known of it beside it, and ``result.json`` into ``folder``.

    Raises:
        UserError: no such checkpoint, a file in the way, a missing package, a network that the format cannot hold, a
            file that differs from PyTorch by more than the tolerance.
    """
    settings = local_settings(settings)
    trained = _network(settings["checkpoint"])
    precision = settings["quantise"] or ("fp16" if settings["half"] else "fp32")
    output = _output(settings, trained, precision)
    check_new(output, "output")
    others = (about_exported(output), *([output.with_suffix(".bin")] if settings["format"] == "openvino" else []))
    if (present := next((other for other in others if other.exists()), None)) and not _half_there(output):
        raise UserError(f"output={output}: {present} is there, which is written beside it; remove it")
    given = None if settings["against"] is None else find_pictures(settings["against"], "against")

    from segkit.data.records import evenly
    from segkit.export.description import as_texts, describe_export
    from segkit.export.held import MOST, hold
    from segkit.export.pictures import pictures_of
    from segkit.export.quantise import CALIBRATION
    from segkit.export.writing import write_network
    from segkit.models.trained import load_network, picture_input_of, read_checkpoint
    from segkit.predict.exported import Exported
    from segkit.predict.predictor import Predictor

    root, trust = settings["data"]["root"], as_list(settings["trust"])
    checkpoint = read_checkpoint(trained.checkpoint, "checkpoint")
    calibration = evenly(pictures_of(trained, "train", root, trust), CALIBRATION) if settings["quantise"] else []
    if settings["quantise"] and not calibration:
        raise UserError(
            "quantise=int8 is calibrated on the run's own training pictures, and there are none; "
            "give data.root=<where they lie now>"
        )
    source, there = _pictures(trained, root, given, trust)
    pictures = evenly(there, MOST)
    about = describe_export(checkpoint, trained, precision, settings["logits"])
    run_folder = home_of(trained.checkpoint)
    output.parent.mkdir(parents=True, exist_ok=True)
    with beside(output, "output") as scratch:
        written = scratch / output.name
        network = load_network(checkpoint, trust, run_folder)
        shown = picture_input_of(checkpoint)
        write_network(network, shown, as_texts(about), written, settings["logits"], settings["half"], calibration)
        log.info("written; it is held against PyTorch on %d %s", len(pictures), source)
        plain = Predictor(checkpoint, None, "fp32", trust=trust, run=run_folder)
        with progress_bar() as bar:
            row = bar.add_task("comparing", total=len(pictures), note="")
            held = hold(Exported(written, "output"), plain, pictures, lambda: bar.advance(row))
        allowed = TOLERANCE[precision] if settings["tolerance"] is None else settings["tolerance"]
        figures = (
            f"{100 * held.differing:.4f} % of the pixels are of another class, confidence differs by {held.confidence} "
            f"of 255 at most; {held.per_second:.3g} pictures a second, PyTorch {held.plain_per_second:.3g}"
        )
        if held.differing > allowed:
            raise UserError(
                f"output={output} is not kept: {figures}.\n"
                f"That is more than tolerance={allowed:g}; a larger one keeps such a file."
            )
        result = {
            "checkpoint": str(trained.checkpoint.absolute()),
            "output": str(output),
            "format": settings["format"],
            "bytes": sum(path.stat().st_size for path in scratch.iterdir()),
            "calibrated_on": len(calibration),
            "held": {"against": source, "tolerance": allowed, **asdict(held)},
            "about": about,
            **environment(),
        }
        write_result(scratch, "export", result)
        os.replace(scratch / "result.json", scratch / about_exported(output).name)
        # The description first, see _half_there, and what refers to the others last: before that nothing is there.
        order = [about_exported(output).name, output.with_suffix(".bin").name, output.name]
        for path in sorted(scratch.iterdir(), key=lambda path: order.index(path.name)):
            os.replace(path, output.parent / path.name)
    write_result(folder.path, "export", result)
    log.info("%s", figures)
    log.info("%s, %.1f MB", output, result["bytes"] / 1e6)


def _half_there(output: Path) -> bool:
    """Whether what lies beside ``output``, which is not there, is an export's that was killed in the last moment."""
    try:
        return bool(read_json(about_exported(output))["segkit"]["command"] == "export")
    except (OSError, UserError, TypeError, KeyError):
        return False


def _network(place: str) -> TrainedRun:
    found = find_run(place)
    if is_exported(found.checkpoint):
        raise UserError(f"checkpoint={place} is an exported file; give the checkpoint that it was made of")
    return found


def _output(settings: dict[str, Any], trained: TrainedRun, precision: str) -> Path:
    """``output`` where it is given, else ``exported/`` in the run's folder."""
    if settings["output"] is not None:
        return Path(settings["output"]).expanduser()
    if trained.folder is None:
        raise UserError(f"output=null: {trained.checkpoint} lies in no run folder; give the file to write")
    name = trained.checkpoint.stem + ("" if precision == "fp32" else f"_{precision}")
    return trained.folder / "exported" / f"{name}{EXPORT_ENDINGS[settings['format']]}"


def _pictures(
    trained: TrainedRun, root: str | None, given: list[Path] | None, trust: Sequence[str]
) -> "tuple[str, Sequence[Path | NDArray[np.uint8]]]":
    """What to hold the file against PyTorch on, and what that is: the best that there is."""
    from segkit.export.pictures import drawn_pictures, pictures_of

    if given is not None:
        return "pictures that were given", given
    if own := pictures_of(trained, "val", root, trust):
        return "validation pictures of its run", own
    return "drawn scenes, since its run's own pictures are not there", drawn_pictures()
