"""CamVid in the SegNet tutorial's layout: ``<root>/{train,trainannot,val,valannot}`` and, where there is one, the same
for ``test``. Labels are grey PNG files of class numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segkit.data.checks import NO_IMAGE, NO_IMAGES, NO_LABEL, TWICE, VALUES, Layout, PictureError, Problem, find_root
from segkit.data.images import decode_values
from segkit.data.module import PARTS, SegmentationDataModule
from segkit.data.records import IGNORE_INDEX, Record, SegmentationClass

CLASSES = (
    SegmentationClass("sky", (128, 128, 128)),
    SegmentationClass("building", (128, 0, 0)),
    SegmentationClass("pole", (192, 192, 128)),
    SegmentationClass("road", (128, 64, 128)),
    SegmentationClass("pavement", (60, 40, 222)),
    SegmentationClass("tree", (128, 128, 0)),
    SegmentationClass("sign symbol", (192, 128, 128)),
    SegmentationClass("fence", (64, 64, 128)),
    SegmentationClass("car", (64, 0, 128)),
    SegmentationClass("pedestrian", (64, 64, 0)),
    SegmentationClass("bicyclist", (0, 128, 192)),
)
ROAD, VOID = 3, 11


class CamVidDataModule(SegmentationDataModule):
    """CamVid; void is 255, in neither loss nor score.

    Args:
        classes: ``all`` = the 11 classes, ``road`` = road against the rest.
        **common: as ``SegmentationDataModule``.
    """

    def __init__(
        self,
        root: str | Path,
        image_shape: Sequence[int],
        batch_size: int,
        classes: Literal["all", "road"] = "all",
        augment: Sequence[Mapping[str, Any]] = (),
        workers: int | None = None,
        cache_dir: str | Path = ".cache",
        seed: int = 0,
    ) -> None:
        super().__init__(root, image_shape, batch_size, augment, workers, cache_dir, seed)
        self.classes = classes

    @property
    def class_list(self) -> tuple[SegmentationClass, ...]:
        if self.classes == "all":
            return CLASSES
        return SegmentationClass("background", None, background=True), SegmentationClass("road", (0, 255, 0))

    @property
    def label_settings(self) -> str:
        return f"camvid classes={self.classes}"

    def decode_label(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        values = decode_values(data, path)
        if values.ndim != 2 or values.dtype != np.uint8:
            raise PictureError(VALUES, path, "is not an 8-bit grey picture of class numbers")
        if values.max() > VOID:
            raise PictureError(VALUES, path, f"has the class number {values.max()}; {VOID} (void) is the largest")
        table = np.arange(VOID + 1, dtype=np.uint8)
        if self.classes == "road":
            table = (table == ROAD).astype(np.uint8)
        table[VOID] = IGNORE_INDEX
        return table[values]

    def scan(self) -> Layout:
        root = find_root(self.root, ["train", "trainannot", "val", "valannot"])
        parts: dict[str, list[Record]] = {}
        problems: list[Problem] = []
        found, label_files = [], 0
        seen: dict[str, str] = {}
        for part in PARTS:
            images = {path.stem: path for path in sorted((root / part).glob("[!.]*.png"))}
            labels = {path.stem: path for path in sorted((root / f"{part}annot").glob("[!.]*.png"))}
            labelled = (root / f"{part}annot").is_dir()
            parts[part] = [Record(name, name.split("_")[0], path, labels.get(name)) for name, path in images.items()]
            found.append(f"{len(images)} images in {part}/, {len(labels)} labels in {part}annot/")
            label_files += len(labels)
            if not images and part != "test":
                problems.append(Problem(NO_IMAGES, f"{part}/ has no .png"))
            for name in images:
                if labelled and name not in labels:
                    problems.append(Problem(NO_LABEL, f"{part}/{name}.png has no {part}annot/{name}.png"))
                if seen.setdefault(name, part) != part:
                    problems.append(Problem(TWICE, f"{seen[name]}/{name}.png is also in {part}/"))
            for name in labels.keys() - images.keys():
                problems.append(Problem(NO_IMAGE, f"{part}annot/{name}.png has no {part}/{name}.png"))
        return Layout(parts, found, {"class": label_files}, problems)
