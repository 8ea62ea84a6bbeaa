"""A folder of one's own: pictures, masks of class numbers or colours, and a file that says what the masks mean."""

import inspect
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Lt
from numpy.typing import NDArray

from segkit.data.checks import Layout
from segkit.data.datasets.own.classes import Description, find_file, read_description
from segkit.data.datasets.own.layout import scan_folder
from segkit.data.datasets.own.masks import MaskReader
from segkit.data.merging import ClassesDataModule
from segkit.data.records import SegmentationClass


class FolderDataModule(ClassesDataModule):
    """Pictures in ``images/`` and masks of the same names in ``masks/``.

    ``train``, ``val`` and ``test`` may be folders below or above these two, or text files of names; without them the
    last pictures of each folder are for validation. Everything else stands in the classes file
    (:mod:`segkit.data.datasets.own.classes`).

    Args:
        description: the classes file; None = ``classes.yaml`` in ``root``, or the one YAML file there with ``names``.
        val_fraction: share of the pictures that is for validation where no part says so.
        **common: as ``ClassesDataModule``.
    """

    def __init__(
        self,
        *args: Any,
        description: str | Path | None = None,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2,
        **common: Any,
    ) -> None:
        super().__init__(*args, **common)
        self.description_file, self.val_fraction = description, val_fraction

    @cached_property
    def description(self) -> Description:
        """What the classes file says."""
        given = self.description_file
        return read_description(find_file(self.root) if given is None else Path(given).expanduser(), self.root)

    @property
    def own_classes(self) -> tuple[SegmentationClass, ...]:
        return self.description.classes

    @property
    def label_settings(self) -> str:
        known, source = self.description, blake2b(inspect.getsource(MaskReader).encode(), digest_size=8).hexdigest()
        return f"{super().label_settings} {source} {sorted(known.numbers.items())} {sorted(known.colours.items())}"

    @cached_property
    def _reader(self) -> MaskReader:
        return MaskReader(self.description)

    def decode_own(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        return self._reader.decode(data, path)

    def scan(self) -> Layout:
        return scan_folder(self.root, self.description, self.val_fraction)
