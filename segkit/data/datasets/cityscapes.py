"""Cityscapes: ``<root>/leftImg8bit/<part>/<city>/`` and ``<root>/gtFine/<part>/<city>/``, and the classes that other
data sets of streets share with it."""

import re
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segkit.data.checks import NAMES, NO_IMAGE, NO_LABEL, VALUES, Layout, PictureError, Problem, find_root, shortened
from segkit.data.description import PARTS
from segkit.data.images import decode_values
from segkit.data.merging import ClassesDataModule
from segkit.data.records import IGNORE_INDEX, Record, SegmentationClass

# torchvision's Cityscapes.classes in the order of the train ids; its module takes a second and more to import.
LABELS: tuple[tuple[str, int, str, tuple[int, int, int]], ...] = (
    ("road", 7, "flat", (128, 64, 128)),
    ("sidewalk", 8, "flat", (244, 35, 232)),
    ("building", 11, "construction", (70, 70, 70)),
    ("wall", 12, "construction", (102, 102, 156)),
    ("fence", 13, "construction", (190, 153, 153)),
    ("pole", 17, "object", (153, 153, 153)),
    ("traffic light", 19, "object", (250, 170, 30)),
    ("traffic sign", 20, "object", (220, 220, 0)),
    ("vegetation", 21, "nature", (107, 142, 35)),
    ("terrain", 22, "nature", (152, 251, 152)),
    ("sky", 23, "sky", (70, 130, 180)),
    ("person", 24, "human", (220, 20, 60)),
    ("rider", 25, "human", (255, 0, 0)),
    ("car", 26, "vehicle", (0, 0, 142)),
    ("truck", 27, "vehicle", (0, 0, 70)),
    ("bus", 28, "vehicle", (0, 60, 100)),
    ("train", 31, "vehicle", (0, 80, 100)),
    ("motorcycle", 32, "vehicle", (0, 0, 230)),
    ("bicycle", 33, "vehicle", (119, 11, 32)),
)
"""Name, label id, category and colour of the classes that are scored; a class's place is its train id."""

CLASSES = tuple(SegmentationClass(name, colour) for name, _, _, colour in LABELS)
LABEL_ID = {name: number for name, number, _, _ in LABELS}
"""The number of a class in ``labelIds`` files, by its name."""

LAST_ID = 33
CATEGORIES = {category: [name for name, _, other, _ in LABELS if other == category] for _, _, category, _ in LABELS}
"""The classes of each of the seven categories."""

IMAGES, LABELS_FOLDER = "leftImg8bit", "gtFine"
IMAGE_NAME = re.compile(r"(?P<name>(?P<city>.+)_\d{6}_\d{6})_leftImg8bit\.png")
LABEL_NAME = re.compile(r"(?P<name>.+_\d{6}_\d{6})_gtFine_labelIds\.png")


def train_ids(data: bytes, path: Path) -> NDArray[np.uint8]:
    """Train ids uint8 (H, W), 255 for what is not scored, from the content of a ``labelIds`` file.

    Raises:
        PictureError: it cannot be decoded, or holds other values than 0…33 and 255.
    """
    stored = decode_values(data, path)
    if stored.ndim != 2 or stored.dtype != np.uint8:
        raise PictureError(VALUES, path, "is not an 8-bit grey picture of label ids")
    values = stored.astype(np.uint8)
    table = np.full(256, IGNORE_INDEX, np.uint8)
    table[list(LABEL_ID.values())] = np.arange(len(LABELS))
    wrong = (values > LAST_ID) & (values != IGNORE_INDEX)
    if wrong.any():
        raise PictureError(VALUES, path, f"has the label id {values[wrong][0]}; {LAST_ID} is the largest")
    return table[values]


class StreetDataModule(ClassesDataModule):
    """A data set with Cityscapes' classes.

    Args:
        classes: ``all`` = the 19 classes, ``category`` = the seven categories, or a merge, see
            :func:`segkit.data.merging.merged`.
        **common: as ``SegmentationDataModule``.
    """

    MERGES = {"category": CATEGORIES}

    def __init__(
        self, *args: Any, classes: Literal["all", "category"] | dict[str, list[str]] = "all", **common: Any
    ) -> None:
        super().__init__(*args, classes=classes, **common)

    @property
    def own_classes(self) -> tuple[SegmentationClass, ...]:
        return CLASSES

    def decode_own(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        return train_ids(data, path)


class CityscapesDataModule(StreetDataModule):
    """Cityscapes with its fine labels. Those of the test part are published as placeholders, and not read."""

    def scan(self) -> Layout:
        remedy = "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of www.cityscapes-dataset.com hold them"
        root = find_root(self.root, [IMAGES, LABELS_FOLDER], remedy)
        parts, found, problems, count = dict[str, list[Record]](), list[str](), list[Problem](), 0
        for part in PARTS:
            images, more = _named(root / IMAGES / part, IMAGE_NAME, root)
            labels, most = _named(root / LABELS_FOLDER / part, LABEL_NAME, root) if part != "test" else ({}, [])
            problems += more + most
            count += len(labels)
            cities = len(Counter(path.parent for path in images.values()))
            found.append(f"{len(images)} images in {IMAGES}/{part}/ ({cities} cities), {len(labels)} labels")
            for name in sorted(images.keys() - labels.keys()) if part != "test" else []:
                wanted = f"{LABELS_FOLDER}/{part}/{images[name].parent.name}/{name}_gtFine_labelIds.png"
                problems.append(Problem(NO_LABEL, f"{shortened(images[name], root)} has no {wanted}"))
            for name in sorted(labels.keys() - images.keys()):
                problems.append(
                    Problem(NO_IMAGE, f"{shortened(labels[name], root)} has no picture in {IMAGES}/{part}/")
                )
            parts[part] = [Record(name, path.parent.name, path, labels.get(name)) for name, path in images.items()]
        return Layout(parts, found, {"fine": count}, problems)


def _named(folder: Path, pattern: re.Pattern[str], root: Path) -> tuple[dict[str, Path], list[Problem]]:
    """The files of a part by their pictures' names, and pictures with other names."""
    found, problems = dict[str, Path](), list[Problem]()
    for path in sorted(folder.glob("*/*.png")):
        match = pattern.fullmatch(path.name)
        if match:
            found[match["name"]] = path
        elif pattern is IMAGE_NAME:
            problems.append(Problem(NAMES, shortened(path, root)))
    return found, problems
