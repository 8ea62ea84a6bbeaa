"""What Cityscapes' server scores, and KITTI's server for semantic pictures: label ids under the pictures' names."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segkit.data.checks import PictureError
from segkit.data.datasets.cityscapes import IMAGE_NAME, LABEL_ID, train_ids
from segkit.data.images import png_header, read_bytes
from segkit.data.records import IGNORE_INDEX, SegmentationClass
from segkit.data.writer import Prediction, Writer, png
from segkit.errors import UserError, shortlist

KITTI_NAME = re.compile(r"\d{6}_10\.png")
TESTS: Mapping[re.Pattern[str], int] = {IMAGE_NAME: 1525, KITTI_NAME: 200}
"""How many test pictures each of the servers wants, by how they are called."""

log = logging.getLogger(__name__)


class LabelIds(Writer):
    """8-bit PNG files of label ids, called as the picture: Cityscapes' server goes by ``<city>_<number>_<number>``.

    Args:
        class_list: of the network: Cityscapes' classes, or some of them.
        pictures: those that will be painted.

    Raises:
        UserError: a class has no label id, a picture has a name that the servers do not know, or two have the same.
    """

    name = "cityscapes"

    def __init__(self, class_list: Sequence[SegmentationClass], pictures: Sequence[Path]) -> None:
        strange = [item.name for item in class_list if item.name not in LABEL_ID]
        if strange:
            raise UserError(
                f"format=cityscapes: this network has classes that are not Cityscapes' ({shortlist(strange)}); "
                "train with data.classes=all"
            )
        matching = [kind for kind in TESTS if all(kind.fullmatch(path.name) for path in pictures)]
        if not matching:
            wrong = next((path.name for path in pictures if not IMAGE_NAME.fullmatch(path.name)), pictures[0].name)
            raise UserError(
                f"format=cityscapes: {wrong} is not called <city>_<sequence>_<frame>_leftImg8bit.png (nor are all "
                "pictures called 000000_10.png, as KITTI's), so the server would not know it"
            )
        if len({path.name for path in pictures}) < len(pictures):
            raise UserError("format=cityscapes: two of the pictures of input= have the same name")
        self.wanted, self.pictures = TESTS[matching[0]], pictures
        self._ids = np.array([LABEL_ID[item.name] for item in class_list], np.uint8)
        self._sizes: dict[str, tuple[int, int]] = {}

    def encode(self, prediction: Prediction) -> bytes:
        self._sizes[prediction.path.stem] = prediction.classes.shape
        return png(self._ids[prediction.classes])

    def finish(self, folder: Path, complete: bool) -> int | None:
        """Read every file again as the server does.

        Raises:
            UserError: one is missing, or is not 8-bit label ids of its picture's size.
        """
        for stem, size in self._sizes.items():
            path = folder / self.name / f"{stem}.png"
            header = png_header(path)
            if (header.height, header.width, header.depth, header.colour_type) != (*size, 8, 0):
                raise PictureError("labels", path, f"is no 8-bit grey PNG of {size[1]}×{size[0]}")
            if (train_ids(read_bytes(path), path) == IGNORE_INDEX).any():
                raise PictureError("labels", path, "has a label id that is not scored")
        if not complete or len(self._sizes) != self.wanted:
            log.warning(
                "the server wants its %d test pictures; %s holds %d", self.wanted, folder / self.name, len(self._sizes)
            )
        return None
