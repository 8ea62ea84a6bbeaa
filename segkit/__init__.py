"""Road and street-scene segmentation: train, score, predict."""

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from segkit.predict.predictor import Segmenter
    from segkit.runs.read import Run

__version__ = "0.1.0"


def load(
    place: str | Path = "bundled",
    gpu: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    trust: Sequence[str] = (),
    average: Sequence[str | float] = (),
) -> "Segmenter":
    """A trained network, whose ``predict(picture)`` gives class numbers and confidence.

    Args:
        place: a run folder of ``segkit train`` (its ``best.ckpt``), a ``.ckpt`` file, a file of ``segkit export``, or a
            folder of ``segkit package``; ``bundled`` is the network that comes with segkit.
        gpu: device number, or None for the CPU.
        precision: ``auto`` is bf16 on GPUs that compute in it, fp32 elsewhere.
        trust: modules of the user's own that the checkpoint may name; their code is run.
        average: views over which probabilities are averaged, ``["flip", 0.75, 1.25]``: mirrored, and at other scales.

    Raises:
        segkit.errors.UserError: no such checkpoint, or one that cannot be built or is not trusted; no such view.
    """
    from segkit.predict.loading import load_predictor
    from segkit.runs.find import find_checkpoint, home_of

    path = find_checkpoint(place, "load")
    return load_predictor(path, "load", gpu, precision, trust=trust, run=home_of(path), average=average)


def train(overrides: Sequence[str] = ()) -> "Run":
    """Train a network in this process, as ``python train.py`` does.

    Args:
        overrides: what would be typed, ``["experiment=demo", "data.root=data/mine"]``.

    Returns:
        The run: its ``folder``, ``scores`` and ``epochs``.

    Raises:
        segkit.errors.UserError: a wrong setting, data or weights that do not fit, …
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from segkit.config.messages import readable
    from segkit.errors import UserError
    from segkit.runs.read import read_run

    # By name, since the rooms below the commands import this module.
    command, runner = (importlib.import_module(f"segkit.commands.{name}") for name in ("train", "runner"))
    log = logging.getLogger()
    handlers, level = log.handlers[:], log.level
    try:
        return read_run(runner.run_once(command, "train", list(overrides)))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(readable(error)) from error
    finally:  # what the caller logs later is not the run's
        for handler in set(log.handlers) - set(handlers):
            handler.close()
        log.handlers[:] = handlers
        log.setLevel(level)
