"""Checkpoints and exported files as networks that predict: the place where the two are told apart."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from segkit.config.check import shown
from segkit.data.picture_input import PictureInput
from segkit.errors import UserError
from segkit.models.trained import read_checkpoint
from segkit.predict.ensemble import Ensemble
from segkit.predict.exported import Exported
from segkit.predict.predictor import Predictor
from segkit.runs.find import BUNDLED_FOLDER, home_of, is_exported

log = logging.getLogger(__name__)


def load_predictor(
    path: Path,
    key: str,
    gpu: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    picture_input: PictureInput | None = None,
    trust: Sequence[str] = (),
    run: Path | None = None,
    average: Sequence[str | float] = (),
) -> Predictor | Exported:
    """The network in a file that :func:`segkit.runs.find.find_checkpoint` has found.

    An exported file has its own precision, and shows pictures to its network as it was made to.

    Args:
        path: the file.
        key: the setting that it comes from, for errors.
        gpu, precision, picture_input, trust, run, average: see :class:`Predictor`.

    Raises:
        UserError: see :class:`Predictor` and :class:`Exported`; ``average`` with an exported file.
    """
    if home_of(path) == BUNDLED_FOLDER:
        card = BUNDLED_FOLDER / "README.md"
        log.info("the network that comes with segkit, trained on generated scenes alone: what it can do says %s", card)
    if not is_exported(path):
        return Predictor(read_checkpoint(path, key), gpu, precision, picture_input, trust, run, average)
    if average:
        raise UserError(
            f"average={shown(list(average))}: the exported file {path} takes pictures as they are, not other views of "
            "them; give the checkpoint that it was made of"
        )
    return Exported(path, key, gpu)


def load_ensemble(
    paths: Sequence[Path],
    gpu: int | None,
    precision: Literal["auto", "fp32", "bf16"],
    trust: Sequence[str],
    average: Sequence[str | float],
) -> Ensemble:
    """The networks that ``checkpoint=`` means, one or several, as one; see ``load_predictor`` and :class:`Ensemble`."""
    return Ensemble(
        {
            str(path): load_predictor(
                path, "checkpoint", gpu, precision, trust=trust, run=home_of(path), average=average
            )
            for path in paths
        }
    )
