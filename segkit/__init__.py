"""Road and street-scene segmentation: train, score, predict."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from segkit.predict.predictor import Segmenter

__version__ = "0.1.0"


def load(
    place: str | Path,
    gpu: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    trust: Sequence[str] = (),
    average: Sequence[str | float] = (),
) -> "Segmenter":
    """A trained network, whose ``predict(picture)`` gives class numbers and confidence.

    Args:
        place: a run folder of ``segkit train`` (its ``best.ckpt``), a ``.ckpt`` file, or a file of ``segkit export``.
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
