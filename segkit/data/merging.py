"""Classes of a data set merged and selected by name (``data.classes``)."""

import inspect
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segkit.data.module import SegmentationDataModule
from segkit.data.records import IGNORE_INDEX, SegmentationClass
from segkit.errors import UserError, choices

Merge = Mapping[str, Sequence[str]]
"""The names of the classes that become one, by its name."""

IGNORE, BACKGROUND = "ignore", "background"
EXAMPLE = "{vehicle: [car, truck], road: [road]}"
GREEN = (0, 255, 0)
"""The colour of the only class that is looked for."""


@dataclass(frozen=True)
class Merged:
    """The classes that come of a merge, and ``table``, uint8 (256,): their numbers by those of the old ones."""

    class_list: tuple[SegmentationClass, ...]
    table: NDArray[np.uint8]


def merged(classes: Sequence[SegmentationClass], merge: Merge, key: str) -> Merged:
    """Merge and select classes by name.

    Args:
        classes: the old ones.
        merge: the old names behind each new one, ``ignore`` for those that neither loss nor score counts. What it
            does not name is the class ``background``, number 0; there is none where it names all.
        key: where ``merge`` was given, for messages.

    Raises:
        UserError: a name that there is not, or one that is in two classes; no class is left.
    """
    numbers = {item.name: number for number, item in enumerate(classes)}
    words = [name for members in merge.values() for name in members]
    for name in words:
        if name not in numbers:
            raise UserError(f"{key}: there is no class {name}{choices(name, list(numbers))}")
    if twice := [name for name, count in Counter(words).items() if count > 1]:
        raise UserError(f"{key}: {twice[0]} is named twice; a class becomes part of one")
    kept = {name: members for name, members in merge.items() if name != IGNORE}
    if empty := [name for name, members in kept.items() if not members]:
        raise UserError(f"{key}.{empty[0]}: names no class{choices('', list(numbers))}")
    rest = [name for name in numbers if name not in words]
    if not kept:
        raise UserError(f"{key}: names no class to find{choices('', list(numbers))}")
    found = [SegmentationClass(BACKGROUND, None, background=True)] if rest and BACKGROUND not in kept else []
    table = np.full(256, IGNORE_INDEX, np.uint8)
    table[[numbers[name] for name in rest]] = 0
    for name, members in kept.items():
        first = classes[numbers[members[0]]]
        table[[numbers[member] for member in members]] = len(found)
        found.append(replace(first, name=name, background=first.background or name == BACKGROUND))
    if rest and BACKGROUND in kept:
        table[[numbers[name] for name in rest]] = [item.name for item in found].index(BACKGROUND)
    if len(found) == 2 and found[0].background:
        found[1] = replace(found[1], colour=GREEN)
    return Merged(tuple(found), table)


class ClassesDataModule(SegmentationDataModule):
    """A data set of many classes, of which ``classes`` merges and selects some.

    A subclass says ``own_classes`` and ``decode_own``, and may name merges of its own in ``MERGES``.

    Args:
        classes: ``all`` = as they are, a name of ``MERGES``, or a merge; see :func:`merged`.
        **common: as ``SegmentationDataModule``.

    Raises:
        UserError: there are no such classes.
    """

    MERGES: ClassVar[Mapping[str, Merge]] = {}

    def __init__(self, *args: Any, classes: str | dict[str, list[str]] = "all", **common: Any) -> None:
        super().__init__(*args, **common)
        named = ("all", *self.MERGES)
        if isinstance(classes, str) and classes not in named:
            raise UserError(f"data.classes={classes}: should be {' or '.join(named)}, or a merge such as {EXAMPLE}")
        self.classes = classes

    @property
    @abstractmethod
    def own_classes(self) -> tuple[SegmentationClass, ...]:
        """The data set's classes; a class's position is its value in ``decode_own``'s labels."""

    @abstractmethod
    def decode_own(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        """As ``decode_label``, of ``own_classes``."""

    @cached_property
    def merged(self) -> Merged:
        """What ``classes`` makes of ``own_classes``.

        Raises:
            UserError: there are no such classes.
        """
        if self.classes == "all":
            return Merged(self.own_classes, np.arange(256, dtype=np.uint8))
        merge = self.MERGES[self.classes] if isinstance(self.classes, str) else self.classes
        return merged(self.own_classes, merge, "data.classes")

    @property
    def left_out(self) -> dict[str, list[str]]:
        if self.classes == "all":
            return {}
        merge = self.MERGES[self.classes] if isinstance(self.classes, str) else self.classes
        named = [name for members in merge.values() for name in members]
        rest = [item.name for item in self.own_classes if item.name not in named]
        return {"ignored": list(merge.get(IGNORE, [])), "background": rest}

    @property
    def class_list(self) -> tuple[SegmentationClass, ...]:
        return self.merged.class_list

    def decode_label(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        return self.merged.table[self.decode_own(data, path)]

    @property
    def label_settings(self) -> str:
        source = inspect.getsource(type(self).decode_own)
        own = blake2b(source.encode(), digest_size=8).hexdigest()
        return f"{own} {self.merged.table.tobytes().hex()}"
