"""BDD100K's 10 000 pictures with labels of every pixel: ``<root>/images/10k/<part>`` and
``<root>/labels/sem_seg/masks/<part>``, with Cityscapes' train ids."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.data.checks import VALUES, Layout, PictureError
from segkit.data.datasets.cityscapes import StreetDataModule
from segkit.data.description import PARTS
from segkit.data.folders import paired_folders
from segkit.data.images import decode_values

FOLDERS = {part: (f"images/10k/{part}", f"labels/sem_seg/masks/{part}") for part in PARTS}


class Bdd100kDataModule(StreetDataModule):
    """BDD100K, semantic segmentation; its test part has no labels."""

    def decode_own(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        values = decode_values(data, path)
        if values.ndim != 2 or values.dtype != np.uint8:
            raise PictureError(VALUES, path, "is not an 8-bit grey picture of train ids")
        return np.asarray(values, np.uint8)

    def scan(self) -> Layout:
        remedy = "bdd100k_images_10k.zip and bdd100k_sem_seg_labels_trainval.zip of bdd-data.berkeley.edu hold them"
        return paired_folders(self.root, FOLDERS, remedy=remedy)
