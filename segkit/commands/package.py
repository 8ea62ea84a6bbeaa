"""``segkit package``: a finished network as a folder that can be given away."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.config.overrides import as_list
from segkit.config.trained_schema import PackageSettings
from segkit.errors import UserError
from segkit.remote.local import local_settings
from segkit.runs.files import beside, check_new, write_whole
from segkit.runs.find import find_checkpoint, find_run, home_of
from segkit.runs.folder import RunFolder, environment, write_result
from segkit.runs.read import checked_result, read_overrides
from segkit.runs.sources import CODE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from segkit.evaluation.entry import Evaluation

SETTINGS = PackageSettings
REQUIREMENTS = "gradio>=5\n# and segkit, from where you have it: a git address, or a wheel\n"
log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Write the folder ``output``, whole or not at all, and ``result.json`` into ``folder``.

    Raises:
        UserError: no such checkpoint, a folder in the way, an evaluation that is none or of another network.
    """
    settings = local_settings(settings)
    output = Path(settings["output"]).expanduser()
    check_new(output, "output")
    trained = find_run(settings["checkpoint"])

    from segkit.data.records import evenly
    from segkit.models.packaged import halved, write_package
    from segkit.models.trained import read_checkpoint, weights_of
    from segkit.reporting.card import model_card
    from segkit.reporting.overlays import overlays, small_jpeg

    checkpoint = read_checkpoint(trained.checkpoint, "checkpoint")
    weights, entry = weights_of(checkpoint), _plain(checkpoint["segkit"])
    if settings["half"]:
        weights = halved(weights)
    evaluations = [_evaluation(Path(place).expanduser(), weights) for place in as_list(settings["evaluations"])]
    painted = [] if trained.folder is None else evenly(overlays(trained.folder), settings["pictures"])
    output.parent.mkdir(parents=True, exist_ok=True)
    with beside(output, "output") as scratch:
        home = scratch / "package"
        home.mkdir()
        write_package(home, weights, entry)
        pictures = [f"pictures/{path.stem}.jpg" for path in painted]
        for path, name in zip(painted, pictures, strict=True):
            (home / name).parent.mkdir(exist_ok=True)
            write_whole(home / name, small_jpeg(path))
        own = home_of(trained.checkpoint) / CODE
        if own.is_dir():
            shutil.copytree(own, home / CODE, ignore=shutil.ignore_patterns("__pycache__"))
        parameters = sum(value.numel() for value in weights.values())
        texts = {"about": settings["about"], "evaluations": evaluations}
        card = model_card(output.name, settings["license"], entry, parameters, trained.run, pictures, **texts)
        write_whole(home / "README.md", card.encode())
        write_whole(home / "app.py", (Path(__file__).parents[1] / "reporting" / "app.py.txt").read_bytes())
        write_whole(home / "requirements.txt", REQUIREMENTS.encode())
        os.replace(home, output)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    write_result(
        folder.path,
        "package",
        {
            "checkpoint": str(trained.checkpoint),
            "output": str(output),
            "bytes": size,
            "parameters": parameters,
            "pictures": pictures,
            **environment(),
        },
    )
    log.info("%s, %.1f MB; read its README.md before you give it away", output, size / 1e6)
    if pictures:
        log.info(
            "it shows %d pictures of the run's data: see that you may publish them, or give pictures=0", len(pictures)
        )


def _evaluation(place: Path, weights: "Mapping[str, Tensor]") -> "Evaluation":
    """A folder of ``segkit evaluate`` that has scored a network of these very weights."""
    from segkit.evaluation.entry import Evaluation
    from segkit.models.packaged import same_weights
    from segkit.models.trained import read_checkpoint, weights_of

    try:
        result, overrides = checked_result(place), read_overrides(place)
        (scored,) = result["checkpoint"]
    except (OSError, UserError, KeyError, ValueError) as error:
        raise UserError(f"evaluations: {place} is no finished folder of segkit evaluate of one network") from error
    if not same_weights(weights, weights_of(read_checkpoint(find_checkpoint(scored, "evaluations"), "evaluations"))):
        raise UserError(
            f"evaluations: {place} has scored other weights, {scored}; score the checkpoint that is packaged, or with "
            "half=true its package"
        )
    return Evaluation(place, result, overrides)


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """What JSON holds of a checkpoint's entry: its counts of pixels, which are tensors, stay behind."""
    return json.loads(json.dumps({key: value for key, value in entry.items() if key != "counts"}))  # type: ignore[no-any-return]
