"""``segkit data``: a data set in numbers, checked, shown, described, downloaded or generated."""

import logging
from pathlib import Path
from typing import Any

from segkit.config.schema import DataCommandSettings
from segkit.console import progress_bar
from segkit.errors import UserError
from segkit.remote.address import is_address
from segkit.remote.local import local_settings
from segkit.runs.files import write_whole
from segkit.runs.folder import RunFolder, write_result

SETTINGS = DataCommandSettings
log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: RunFolder) -> None:
    """Do what ``action`` says and write ``result.json`` into ``folder``.

    Raises:
        UserError: the data set, the download or the settings are wrong.
    """
    actions = {
        "stats": _stats,
        "verify": _verify,
        "show": _show,
        "init": _init,
        "download": _download,
        "generate": _generate,
    }
    root = settings["data"]["root"]
    if settings["action"] not in ("init", "download", "generate"):
        settings = local_settings(settings)
    elif is_address(root):
        raise UserError(f"data.root={root}: is written; give a folder of this machine, and send it with aws s3 sync")
    result = actions[settings["action"]](settings, folder.path)
    write_result(folder.path, "data", {"action": settings["action"], "root": root, **result})


def _module(config: dict[str, Any]) -> Any:
    from segkit.config.instantiate import build
    from segkit.data.module import SegmentationDataModule

    return build("data", config, SegmentationDataModule)


def _stats(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    from segkit.data.overlay import Painter
    from segkit.data.sheet import sheet
    from segkit.data.statistics import statistics, statistics_table

    data = _module(settings["data"])
    numbers = statistics(data)
    log.info("%s", statistics_table(numbers))
    return numbers | _write(sheet(data, 3, Painter(data.class_list, **settings["paint"])), folder)


def _show(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    from segkit.data.augment import Augmentation
    from segkit.data.overlay import Painter
    from segkit.data.sheet import augmented_sheet, sheet

    data = _module(settings["data"])
    painter = Painter(data.class_list, **settings["paint"])
    if isinstance(data.augment, Augmentation) and data.augment.does_nothing:
        return _write(sheet(data, 6, painter), folder)
    with progress_bar() as bar:
        row = bar.add_task("checking and caching pictures", note="")
        data.prepare(lambda done, total: bar.update(row, completed=done, total=total))
    return _write(augmented_sheet(data, painter), folder)


def _write(sheet: Any, folder: Path) -> dict[str, Any]:
    from segkit.data.writer import png

    path = folder / "sheet.png"
    write_whole(path, png(sheet))
    log.info("pictures with their labels: %s", path)
    return {"sheet": str(path)}


def _verify(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    data = _module(settings["data"])
    with progress_bar() as bar:
        row = bar.add_task("checking", note="")
        data.prepare(lambda done, total: bar.update(row, completed=done, total=total))
    log.info("%s\nevery picture and label is in order", data.describe())
    records = [record for part in data.layout.parts.values() for record in part]
    for what, count in data.lacking(records).items():
        log.warning("%d of %d pictures have no %s: no scores of them that need it", count, len(records), what)
    return {"data": data.summary()}


def _init(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    from segkit.data.datasets.own.guess import image_shape, look_at, write_classes

    given = settings["data"]["root"]
    root = Path(given).expanduser()
    with progress_bar() as bar:
        bar.add_task("looking at the masks", total=None, note="")
        found = look_at(root)
    path = write_classes(root, found)
    sizes = ", ".join(f"{count} of {width}×{height}" for (height, width), count in found.sizes.most_common(5))
    log.info("%d pictures in %s/, %d with a mask in %s/", found.pictures, found.images, found.pairs, found.masks)
    log.info("sizes: %s", sizes)
    for problem in found.problems:
        log.warning("%s", problem)
    log.info("%s:\n\n%s", path, path.read_text())
    height, width = image_shape(found)
    log.info(
        "Correct the names there, then\n  python train.py data=folder data.root=%s data.image_shape=[%d,%d]",
        given,
        height,
        width,
    )
    return {
        "classes": str(path),
        "pictures": found.pictures,
        "masks": found.pairs,
        "sizes": [{"height": h, "width": w, "count": count} for (h, w), count in found.sizes.most_common()],
        "problems": found.problems,
    }


def _download(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    from segkit.data.checks import DataSetError
    from segkit.data.install import obtain

    config = settings["data"]
    if "url" not in config:
        raise UserError("action=download: this data set has no address to download from; those of KITTI have")

    whole = _module(config).WHOLE

    def problems(root: Path) -> list[str]:
        """What is wrong with the tree, by opening every file of it; KITTI publishes no checksum."""
        data = _module(config | {"root": str(root)} | whole)
        try:
            data.check_published()
            data.prepare()
        except DataSetError as error:  # anything else, such as a full disk, is no fault of the archive's
            return str(error).splitlines()
        return []

    with progress_bar() as bar:
        row = bar.add_task("downloading and unpacking", note="bytes")
        root = obtain(
            config["url"],
            Path(config["root"]).expanduser(),
            problems,
            lambda done, total: bar.update(row, completed=done, total=total),
        )
    log.info("the data set is complete in %s", root)
    return {"url": config["url"]}


def _generate(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    from segkit.scenes.generate import generate_scenes

    training, test = settings["count"]
    root = Path(settings["data"]["root"]).expanduser()
    with progress_bar() as bar:
        row = bar.add_task("drawing", note="pictures")
        generate_scenes(
            root,
            (training, test),
            settings["seed"],
            settings["looks"],
            settings["also"],
            settings["drive"],
            on_done=lambda done, total: bar.update(row, completed=done, total=total),
        )
    if settings["drive"] is not None:
        training, test = settings["drive"], 0
    log.info("%d training and %d test pictures in %s", training, test, root)
    return {"count": [training, test], **{key: settings[key] for key in ("drive", "seed", "looks", "also")}}
