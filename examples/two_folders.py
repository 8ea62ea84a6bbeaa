"""A data set of one's own: pictures in one folder, labels of the same names in another."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.data.checks import Layout
from segkit.data.folders import paired_folders
from segkit.data.images import decode_values
from segkit.data.module import SegmentationDataModule
from segkit.data.records import SegmentationClass


class TwoFolders(SegmentationDataModule):
    """``<root>/{train,val}/images`` and ``<root>/{train,val}/masks``, the masks being PNG files of class numbers.

    Args:
        names: of the classes, by their numbers; 255 in a mask is not scored.
        colours: theirs, RGB 0…255.
        **common: as :class:`segkit.data.module.SegmentationDataModule`.
    """

    def __init__(self, *args: Any, names: list[str], colours: list[list[int]], **common: Any) -> None:
        super().__init__(*args, **common)
        self.names, self.colours = names, colours

    @property
    def class_list(self) -> tuple[SegmentationClass, ...]:
        pairs = zip(self.names, self.colours, strict=True)
        return tuple(SegmentationClass(name, (red, green, blue)) for name, (red, green, blue) in pairs)

    @property
    def label_settings(self) -> str:
        return "two folders"  # nothing but the files decides what a label is

    def scan(self) -> Layout:
        return paired_folders(self.root, {part: (f"{part}/images", f"{part}/masks") for part in ("train", "val")})

    def decode_label(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        return np.asarray(decode_values(data, path), np.uint8)
