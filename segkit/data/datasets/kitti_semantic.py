"""KITTI's semantic pictures (``data_semantics.zip``): ``<root>/training/{image_2,semantic}`` and
``<root>/testing/image_2``, with Cityscapes' label ids."""

import re
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from segkit.data.checks import SPLIT, DataSetError, Layout, Problem
from segkit.data.datasets.cityscapes import StreetDataModule
from segkit.data.folders import paired_folders
from segkit.data.splits import split_records
from segkit.errors import UserError

TRAINING, TESTING = ("training/image_2", "training/semantic"), ("testing/image_2", "testing/semantic")
PUBLISHED = {"training": 200, "testing": 200}


class KittiSemanticDataModule(StreetDataModule):
    """KITTI's 200 pictures with labels of Cityscapes' classes, and 200 without.

    Args:
        url: where ``data_semantics.zip`` can be had (``segkit data action=download``).
        split: how the labelled pictures are divided, see :func:`segkit.data.splits.split_records`.
        fold: 0…4, with ``split="fold"``.
        val_fraction: with ``split="fraction"``.
        **common: as ``StreetDataModule``.
    """

    WHOLE = {"split": "none"}

    def __init__(
        self,
        *args: Any,
        url: str = "",
        split: Literal["fold", "fraction", "none"] = "fraction",
        fold: Annotated[int, Ge(0), Le(4)] = 0,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2,
        **common: Any,
    ) -> None:
        super().__init__(*args, **common)
        self.url, self.split, self.fold, self.val_fraction = url, split, fold, val_fraction

    def check_published(self) -> None:
        """Hold the counts against the published set's.

        Raises:
            DataSetError: naming the part that has another number of pictures.
        """
        counts = {part: sum(groups.values()) for part, groups in self.summary().items()}
        held = {"training": counts["train"] + counts["val"], "testing": counts["test"]}
        wrong = [f"{part} has {held[part]} pictures instead of {n}" for part, n in PUBLISHED.items() if held[part] != n]
        if wrong:
            raise DataSetError("\n".join(wrong))

    def scan(self) -> Layout:
        remedy = (
            f"segkit data action=download data=kitti_semantic data.root={self.root} fetches the data set, "
            f"segkit data action=generate data.root={self.root} 'also=[semantic]' draws one"
        )
        labelled = paired_folders(self.root, {"train": TRAINING}, _group, remedy)
        # Apart, since test pictures have the names of training pictures.
        tests = paired_folders(self.root, {"test": TESTING}, _group)
        parts, problems = {**labelled.parts, "test": tests.parts["test"]}, [*labelled.problems, *tests.problems]
        records = list(labelled.parts["train"])
        try:
            split = split_records(records, self.split, fold=self.fold, val_fraction=self.val_fraction)
            parts |= dict(zip(("train", "val"), split, strict=True))
        except UserError as error:
            problems += [Problem(SPLIT, str(error))] if records else []
        return Layout(parts, [*labelled.found, *tests.found], labelled.label_files, problems)


def _group(name: str) -> str:
    """Generated scenes have their category before the number, of which each part is to hold its share."""
    letters = re.match("[a-z]*", name)
    return letters[0] if letters and letters[0] else "all"
