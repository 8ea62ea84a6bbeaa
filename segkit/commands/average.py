"""``segkit average``: one checkpoint of several, by averaging their weights."""

import logging
from pathlib import Path
from typing import Any

from segkit.config.trained_schema import AverageSettings
from segkit.remote.local import local_settings
from segkit.runs.files import check_new
from segkit.runs.find import TrainedRun, find_checkpoints, find_runs
from segkit.runs.folder import RunFolder, environment, write_result

SETTINGS = AverageSettings
log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Write the new checkpoint to ``output``, and ``result.json`` into ``folder``.

    Raises:
        UserError: no such checkpoint, the same one twice, checkpoints of different networks, a file in the way.
    """
    settings = local_settings(settings)
    output = Path(settings["output"]).expanduser()
    check_new(output, "output")
    paths = find_checkpoints(settings["checkpoint"], "checkpoint")
    _warn_of_starts([trained for path in paths for trained in find_runs(str(path))])

    from segkit.models.soup import average_weights
    from segkit.models.trained import write_checkpoint

    write_checkpoint(average_weights(paths, "checkpoint"), output)
    result = {"checkpoint": [str(path) for path in paths], "output": str(output), **environment()}
    write_result(folder.path, "average", result)
    log.info("the mean of %d networks' weights: %s", len(paths), output)


def _warn_of_starts(runs: list[TrainedRun]) -> None:
    """Say so where runs, as far as their kept settings tell, did not begin with the same weights."""
    unknown = [trained for trained in runs if trained.folder is None]
    starts = dict.fromkeys(_start(trained.settings()) for trained in runs if trained.folder is not None)
    advice = "a mean of weights makes sense only for runs that did (init_from=, the same for all)"
    if len(starts) > 1:
        log.warning("checkpoint: these runs did not begin with the same weights (%s); %s", "; ".join(starts), advice)
    elif unknown:
        path = unknown[0].checkpoint
        log.warning("checkpoint: %s lies in no run folder, nobody knows which weights it began with; %s", path, advice)


def _start(settings: dict[str, Any]) -> str:
    """What a run's weights were before the first step, as settings say it."""
    if settings.get("init_from") is not None:
        place = Path(settings["init_from"]).expanduser()
        return f"init_from={place if place.suffix == '.ckpt' else place / 'checkpoints' / 'best.ckpt'}"
    return f"seed={settings.get('seed')} model.weights={settings.get('model', {}).get('weights')}"
