"""KITTI road: ``<root>/training/{image_2,gt_image_2}`` and, where there are such, ``<root>/testing/image_2`` and the
``calib`` folders of both."""

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import cv2
import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray
from torchmetrics import Metric

from segkit.data.checks import (
    NAMES,
    NO_IMAGE,
    NO_IMAGES,
    NO_LABEL,
    SPLIT,
    VALUES,
    DataSetError,
    Layout,
    PictureError,
    Problem,
    find_root,
    shortened,
)
from segkit.data.images import decode_rgb
from segkit.data.module import SegmentationDataModule
from segkit.data.records import IGNORE_INDEX, Record, SegmentationClass
from segkit.data.splits import split_records
from segkit.data.writer import Writer
from segkit.errors import UserError
from segkit.road.benchmark import RoadBenchmark
from segkit.road.calibration import calibration_of
from segkit.road.layout import PUBLISHED, calibration_path, how_to_come_by
from segkit.road.metric import RoadViews
from segkit.road.writers import road_writers

IMAGES, LABELS, TEST_IMAGES = "training/image_2", "training/gt_image_2", "testing/image_2"
CALIBRATION = "calibration files that cannot be read"
IMAGE_NAME = re.compile(r"(?P<category>um|umm|uu)_(?P<id>\d+)\.png")
LABEL_NAME = re.compile(r"(?P<category>um|umm|uu)_(?P<target>road|lane)_(?P<id>\d+)\.png")


class KittiRoadDataModule(SegmentationDataModule):
    """KITTI road, class 1 being the road or the own lane.

    Args:
        url: where ``data_road.zip`` can be had (``segkit data action=download``).
        target: ``road``, or ``lane`` = the own lane, which only the category um has.
        unscored: what black label pixels are (other roads, the opposite carriageway): ``ignore`` = 255, in neither
            loss nor score; ``road`` = class 1, as whatever is not exactly red was in the script behind the paper.
        split: how the labelled pictures are divided, see ``split_records``.
        fold: 0…4, with ``split="fold"``.
        val_fraction: with ``split="fraction"``.
        **common: as ``SegmentationDataModule``.
    """

    WHOLE = {"split": "none", "target": "road"}

    def __init__(
        self,
        *args: Any,
        url: str = "",
        target: Literal["road", "lane"] = "road",
        unscored: Literal["ignore", "road"] = "ignore",
        split: Literal["kittiseg", "fold", "fraction", "none"] = "kittiseg",
        fold: Annotated[int, Ge(0), Le(4)] = 0,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2,
        **common: Any,
    ) -> None:
        super().__init__(*args, **common)
        self.url, self.target, self.unscored = url, target, unscored
        self.split, self.fold, self.val_fraction = split, fold, val_fraction

    @property
    def class_list(self) -> tuple[SegmentationClass, ...]:
        return SegmentationClass("background", None, background=True), SegmentationClass(self.target, (0, 255, 0))

    @property
    def has_benchmark(self) -> bool:
        """Whether KITTI's score can be computed: with black areas counted as road it would be another one."""
        return self.unscored == "ignore"

    def metrics(self) -> list[Metric]:
        return [RoadViews(self.target)] if self.has_benchmark else []

    def context(self, record: Record) -> dict[str, Any]:
        return {"group": record.group, "calibration": calibration_of(record)} if self.has_benchmark else {}

    def evaluation(self, view: str) -> RoadBenchmark | None:
        return RoadBenchmark(self.target, view, self.read_label) if self.has_benchmark else None

    def writers(self) -> list[Writer]:
        records = [record for part in self.layout.parts.values() for record in part]
        return road_writers(["overlay"], self.class_list, {record.image: calibration_of(record) for record in records})

    def check(self, record: Record) -> list[Problem]:
        try:
            calibration_of(record)
        except UserError as error:
            path = record.extra["calibration"]
            return [Problem(CALIBRATION, str(error).replace(str(path), shortened(path, self.root)))]
        return []

    @property
    def label_settings(self) -> str:
        return f"kitti unscored={self.unscored}"

    def decode_label(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        pixels = decode_rgb(data, path)
        split, between = cast(Any, cv2.split), cast(Any, cv2.inRange)  # their types allow for other arrays than these
        red, green, blue = split(pixels)
        # Magenta is road, red is not, black is unscored; nothing else occurs. By OpenCV, at several times numpy's pace.
        impossible = between(red, 1, 254) | green | between(blue, 1, 254) | (blue & ~red)
        if cv2.countNonZero(impossible):
            wrong = impossible != 0
            colour = tuple(int(value) for value in pixels[wrong][0])
            detail = f"has {int(wrong.sum())} pixels that are not red, magenta or black, such as RGB {colour}"
            raise PictureError(VALUES, path, detail)
        return (blue & 1) | (~red & (IGNORE_INDEX if self.unscored == "ignore" else 1))

    def check_published(self) -> None:
        """Hold the counts per category against the published set's.

        Raises:
            DataSetError: naming the parts and categories that have another number of pictures.
        """
        summary = self.summary()
        held = {"training": Counter(summary["train"]) + Counter(summary["val"]), "testing": Counter(summary["test"])}
        wrong = [
            f"{part} has {held[part][category]} {category} pictures instead of {count}"
            for part, counts in PUBLISHED.items()
            for category, count in counts.items()
            if held[part][category] != count
        ]
        if wrong:
            raise DataSetError("\n".join(wrong))

    def scan(self) -> Layout:
        root = find_root(self.root, [IMAGES, LABELS], how_to_come_by(self.root))
        images, problems = _named(root, IMAGES, IMAGE_NAME)
        labels, more = _named(root, LABELS, LABEL_NAME)
        tests, most = _named(root, TEST_IMAGES, IMAGE_NAME) if (root / TEST_IMAGES).is_dir() else ({}, [])
        problems += more + most
        if not images:
            problems.append(Problem(NO_IMAGES, f"{IMAGES}/ has no <category>_<number>.png"))
        pictures = {(category, number) for category, number in images}
        for category, target, number in sorted(labels):
            if (category, number) not in pictures:
                name = f"{category}_{target}_{number}.png"
                problems.append(Problem(NO_IMAGE, f"{LABELS}/{name} has no {IMAGES}/{category}_{number}.png"))
        records = []
        for (category, number), path in sorted(images.items()):
            label = labels.get((category, self.target, number))
            if label is None and self.target == "lane" and category != "um":
                continue  # KITTI labels the own lane in um alone
            if label is None:
                wanted = f"{LABELS}/{category}_{self.target}_{number}.png"
                problems.append(Problem(NO_LABEL, f"{shortened(path, root)} has no {wanted}"))
            records.append(Record(path.stem, category, path, label, _extra(path)))
        tested = [key for key in sorted(tests) if self.target == "road" or key[0] == "um"]
        test = [Record(tests[key].stem, key[0], tests[key], None, _extra(tests[key])) for key in tested]
        train, val = list(records), list[Record]()
        try:
            if images:
                train, val = split_records(records, self.split, fold=self.fold, val_fraction=self.val_fraction)
        except UserError as error:
            problems.append(Problem(SPLIT, str(error)))
        kinds = Counter(target for _, target, _ in labels)
        found = [
            f"{len(images)} images in {IMAGES}/ ({_counts(category for category, _ in images)})",
            f"{len(labels)} labels in {LABELS}/ ({_counts(f'{c} {t}' for c, t, _ in labels)})",
            f"{len(tests)} images in {TEST_IMAGES}/ ({_counts(category for category, _ in tests)})",
        ]
        return Layout({"train": train, "val": val, "test": test}, found, dict(kinds), problems)


def _named(root: Path, folder: str, pattern: re.Pattern[str]) -> tuple[dict[Any, Path], list[Problem]]:
    """The folder's PNG files by the parts of their names, and those with other names."""
    files: dict[Any, Path] = {}
    problems = []
    for path in sorted((root / folder).glob("*.png")):
        match = pattern.fullmatch(path.name)
        if match:
            files[match.groups()] = path
        elif not path.name.startswith("."):
            problems.append(Problem(NAMES, f"{folder}/{path.name}"))
    return files, problems


def _extra(image: Path) -> dict[str, Path]:
    path = calibration_path(image)
    return {"calibration": path} if path.is_file() else {}


def _counts(words: Any) -> str:
    return ", ".join(f"{word} {count}" for word, count in sorted(Counter(words).items())) or "none"
