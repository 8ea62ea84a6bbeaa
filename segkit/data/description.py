"""What a data set is: its classes, records and labels, and what it may bring of its own. No trainer, no batches."""

import inspect
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from torchmetrics import Metric

from segkit.data.checks import SPLIT, VALUES, DataSetError, Layout, PictureError, Problem, report, summary_table
from segkit.data.images import MAX_MEGAPIXELS, read_bytes
from segkit.data.records import IGNORE_INDEX, Record, SegmentationClass
from segkit.data.writer import Writer

PARTS = ("train", "val", "test")


class DataSet(ABC):
    """A data set has to say its classes, what lies in its folder, and what its labels mean; all else is optional.

    Attributes:
        root: its folder.
        max_megapixels: of the largest picture or label that is decoded.
    """

    WHOLE: ClassVar[Mapping[str, Any]] = {}
    """Settings under which a data set that can be downloaded uses all of its pictures."""

    root: Path
    max_megapixels: float = MAX_MEGAPIXELS

    @property
    @abstractmethod
    def class_list(self) -> tuple[SegmentationClass, ...]:
        """The classes; a class's position is its value in labels."""

    @property
    def label_settings(self) -> str:
        """Names everything but the files' content and ``decode_label`` that labels depend on."""
        return ""

    @abstractmethod
    def scan(self) -> Layout:
        """Look at names and folders only.

        Raises:
            UserError: ``root`` is not this data set's.
        """

    @abstractmethod
    def decode_label(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        """Class ids uint8 (H0, W0) with 255 for unscored, from a label file's content.

        Raises:
            PictureError: the file cannot be decoded or has values that a label cannot have.
        """

    def check(self, record: Record) -> list[Problem]:
        """What is wrong with the record's files besides picture and label."""
        return []

    def check_published(self) -> None:
        """Hold the counts of a downloaded data set against the published ones.

        Raises:
            DataSetError: they differ.
        """
        return None

    def metrics(self) -> list[Metric]:
        """New metrics of the data set's own, which validation logs beside the class scores."""
        return []

    def context(self, record: Record) -> dict[str, Any]:
        """Keyword arguments that ``metrics()`` are updated with for this record; None: what it has not got."""
        return {}

    def evaluation(self, view: str) -> Any:
        """The benchmark's own score for ``segkit evaluate``, a :class:`segkit.metrics.benchmark.Benchmark`.

        None where class scores are all there is. ``view`` is the command's.
        """
        return None

    def writers(self) -> list[Writer]:
        """What shows pictures after training in the data set's own way, beside or instead of the general writers."""
        return []

    def lacking(self, records: Sequence[Record]) -> dict[str, int]:
        """How many of ``records`` have not got what ``context`` could hold, by what it is."""
        contexts = [self.context(record) for record in records]
        return dict(Counter(key for context in contexts for key, value in context.items() if value is None))

    @cached_property
    def layout(self) -> Layout:
        """What ``scan`` found, problems included."""
        return self.scan()

    @property
    def num_classes(self) -> int:
        return len(self.class_list)

    def read_label(self, path: Path) -> NDArray[np.uint8]:
        """A label file at its own size; as ``decode_label``, its class numbers checked."""
        return self.checked_label(read_bytes(path, self.max_megapixels), path)

    def records(self, part: str) -> list[Record]:
        """The records of ``train``, ``val`` or ``test`` in name order.

        Raises:
            DataSetError: ``root`` is wrong, or pictures and labels do not go together.
        """
        self._refuse(self.layout.problems)
        return list(self.layout.parts[part])

    def labelled(self) -> list[Record]:
        """All records with a label, of every part, whatever the split, and even where it would leave nothing.

        Raises:
            DataSetError: as ``records``.
        """
        self._refuse([problem for problem in self.layout.problems if problem.kind != SPLIT])
        found = [record for part in PARTS for record in self.layout.parts[part]]
        return sorted((record for record in found if record.label), key=lambda record: (record.group, record.name))

    def _refuse(self, problems: Sequence[Problem]) -> None:
        if problems:
            raise DataSetError(report(self.root, self.layout.found, problems))

    @property
    def left_out(self) -> dict[str, list[str]]:
        """Classes that are not learned as such: ``ignored`` ones, and what is part of the ``background``; see
        :class:`segkit.data.merging.ClassesDataModule`."""
        return {}

    def summary(self) -> dict[str, dict[str, int]]:
        """Records by part, then by group."""
        return {part: dict(Counter(record.group for record in self.layout.parts[part])) for part in PARTS}

    def describe(self) -> str:
        """``summary`` as a table."""
        return summary_table(self.summary())

    def label_key(self) -> str:
        """What labels depend on besides their files, the code that reads them included."""
        source = inspect.getsource(type(self).decode_label)
        return f"{type(self).__qualname__} {self.label_settings} {blake2b(source.encode(), digest_size=8).hexdigest()}"

    def checked_label(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        """As ``decode_label``, its class numbers checked."""
        label = self.decode_label(data, path)
        values = np.flatnonzero(cv2.calcHist([label], [0], None, [256], [0, 256]))
        wrong = [int(value) for value in values if value >= self.num_classes and value != IGNORE_INDEX]
        if wrong:
            raise PictureError(VALUES, path, f"gives the class number {wrong[0]}; there are {self.num_classes} classes")
        return label
