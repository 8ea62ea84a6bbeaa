"""The pictures that benchmarks work on: KITTI road's or generated ones."""

from pathlib import Path
from typing import Any

from segkit.data.records import Record
from segkit.road.dataset import KittiRoadDataModule
from segkit.scenes.generate import generate_scenes


def labelled_pictures(settings: dict[str, Any], scratch: Path) -> list[Record]:
    """The training pictures of ``data.root``; where that is null, ``pictures`` generated ones, drawn once into scratch.

    Raises:
        UserError: ``data.root`` is not KITTI road's folder.
    """
    root = settings["data"]["root"]
    if root is None:
        root = scratch / "scenes"
        if not root.exists():
            generate_scenes(root, (settings["pictures"], 0), settings["seed"])
    return KittiRoadDataModule(root, image_shape=[32, 32], batch_size=1).labelled()
