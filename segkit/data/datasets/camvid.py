"""CamVid in the SegNet tutorial's layout: ``<root>/{train,trainannot,val,valannot}`` and, where there is one, the same
for ``test``. Labels are grey PNG files of class numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Len
from numpy.typing import NDArray

from segkit.data.checks import VALUES, Layout, PictureError
from segkit.data.description import PARTS
from segkit.data.folders import paired_folders
from segkit.data.images import decode_values
from segkit.data.merging import ClassesDataModule
from segkit.data.records import IGNORE_INDEX, SegmentationClass
from segkit.data.splits import hold_out
from segkit.errors import UserError

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
VOID = 11
DUSK = ("0001TP",)


class CamVidDataModule(ClassesDataModule):
    """CamVid; void is 255, in neither loss nor score.

    Args:
        classes: ``all`` = the 11 classes, ``road`` = road against the rest, or a merge, see
            :func:`segkit.data.merging.merged`.
        split: ``official`` = the folders, whose validation pictures are from a drive that is also in training;
            ``drive`` = the pictures of both folders, those of ``held_out`` for validation.
        held_out: drives (``0001TP``, how the names of their pictures begin) that ``drive`` validates on; None = 0001TP.
        **common: as ``SegmentationDataModule``.

    Raises:
        UserError: drives are named that no split holds out.
    """

    MERGES = {"road": {"road": ["road"]}}

    def __init__(
        self,
        *args: Any,
        classes: Literal["all", "road"] | dict[str, list[str]] = "all",
        split: Literal["official", "drive"] = "official",
        held_out: Annotated[Sequence[str], Len(1)] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(*args, classes=classes, **common)
        if split != "drive" and held_out is not None:
            drives = f"[{','.join(held_out)}]"
            raise UserError(
                f"data.held_out={drives}: data.split={split} holds out no drive; give data.split=drive too, or "
                f"data.held_out=null"
            )
        self.split, self.held_out = split, held_out or DUSK

    @property
    def own_classes(self) -> tuple[SegmentationClass, ...]:
        return CLASSES

    def decode_own(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        values = decode_values(data, path)
        if values.ndim != 2 or values.dtype != np.uint8:
            raise PictureError(VALUES, path, "is not an 8-bit grey picture (or palette) of class numbers")
        if values.max() > VOID:
            raise PictureError(VALUES, path, f"has the class number {values.max()}; {VOID} (void) is the largest")
        return np.where(values == VOID, IGNORE_INDEX, values).astype(np.uint8)

    def scan(self) -> Layout:
        folders = {part: (part, f"{part}annot") for part in PARTS}
        found = paired_folders(self.root, folders, group=lambda name: name.split("_")[0])
        return found if self.split == "official" else hold_out(found, self.held_out)
