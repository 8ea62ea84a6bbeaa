"""Pictures to calibrate an exported file on, and to hold it against PyTorch with."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.config.instantiate import build
from segkit.data.module import SegmentationDataModule
from segkit.errors import UserError
from segkit.runs.find import TrainedRun, home_of
from segkit.runs.sources import CODE, import_from


def pictures_of(trained: TrainedRun, part: str, root: str | None, trust: Sequence[str] = ()) -> list[Path]:
    """The pictures of a part of the run's own data; empty where there are none any more, or there is no run.

    Args:
        trained: the checkpoint and its run.
        part: ``train`` or ``val``.
        root: where the data lie now; None = where the run had them.
        trust: modules of the user's own that the run may name; their code is run.

    Raises:
        UserError: there are none under a ``root`` that was given; the run names code that is not trusted.
    """
    settings: Mapping[str, Any] = trained.settings().get("data", {})
    if not settings:
        return []
    own = {**settings, "augment": None, "root": root or settings["root"]}
    home = home_of(trained.checkpoint)
    with import_from(home) if trust else nullcontext():
        module = build("data", own, SegmentationDataModule, allowed=tuple(trust), kept=home / CODE)
    try:
        return [record.image for record in module.records(part)]
    except UserError:
        if root is not None:
            raise
        return []


def drawn_pictures(count: int = 4) -> list[NDArray[np.uint8]]:
    """Scenes that are drawn now, RGB (375, 1242, 3): for want of photographs."""
    from segkit.scenes.drives import locate
    from segkit.scenes.render import render

    return [render(locate(0, "testing", "um", number), ()).image for number in range(count)]
