"""Training and validation in contiguous blocks: consecutive records are consecutive frames of a drive, so a random
split would put a picture's neighbours into the other part."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal

from segkit.data.checks import SPLIT, Layout, Problem
from segkit.data.records import Record
from segkit.errors import UserError, choices

Split = Literal["kittiseg", "fold", "fraction", "none"]
FOLDS = 5
HELD_OUT = 16
REMEDY = "set data.split=fraction data.val_fraction=0.2"


def split_records(
    records: Sequence[Record], split: Split, *, fold: int, val_fraction: float
) -> tuple[list[Record], list[Record]]:
    """Training and validation records, each in name order.

    ``none`` holds out nothing, as the paper did; ``kittiseg`` the last 16 records of each group, as the KittiSeg
    project does; ``fold`` the block number ``fold`` (0…4) of five equal blocks of each group; ``fraction`` the last
    ``round(val_fraction · n)`` of each.

    Raises:
        UserError: a part, or under ``kittiseg`` a group's training part, would be empty.
    """
    if split == "none":
        return _in_order(records), []
    groups = [list(members) for _, members in groupby(_in_order(records), key=lambda record: record.group)]
    if len(records) < 2:
        raise UserError(f"{len(records)} labelled picture(s): training and validation need one each")
    if split == "kittiseg":
        small = [f"{members[0].group} has {len(members)}" for members in groups if len(members) <= HELD_OUT]
        if small:
            raise UserError(
                f"data.split=kittiseg holds out the last {HELD_OUT} pictures of each category and leaves none to "
                f"train on ({', '.join(small)}): {REMEDY}"
            )
        blocks = [(len(members) - HELD_OUT, len(members)) for members in groups]
    elif split == "fold":
        blocks = [(len(members) * fold // FOLDS, len(members) * (fold + 1) // FOLDS) for members in groups]
        if all(start == stop for start, stop in blocks):
            raise UserError(f"data.fold={fold} holds no picture, every category has fewer than {FOLDS}: {REMEDY}")
    else:
        counts = _fraction_counts([len(members) for members in groups], val_fraction)
        blocks = [(len(members) - count, len(members)) for members, count in zip(groups, counts, strict=True)]
    train, val = [], []
    for members, (start, stop) in zip(groups, blocks, strict=True):
        train += members[:start] + members[stop:]
        val += members[start:stop]
    return train, val


def hold_out(found: Layout, groups: Sequence[str]) -> Layout:
    """The labelled parts divided anew: validation on the records of ``groups``, training on all others.

    Problems are added for a group that is not there, and where a part would be empty.
    """
    records = _in_order([*found.parts["train"], *found.parts["val"]])
    train = [record for record in records if record.group not in groups]
    val = [record for record in records if record.group in groups]
    there = sorted({record.group for record in records})
    problems = [
        Problem(SPLIT, f"data.held_out={name}: there is no such drive{choices(name, there)}")
        for name in groups
        if name not in there
    ]
    if records and not train:
        problems.append(Problem(SPLIT, "data.held_out leaves no drive to train on"))
    return replace(found, parts={**found.parts, "train": train, "val": val}, problems=[*found.problems, *problems])


def _in_order(records: Sequence[Record]) -> list[Record]:
    return sorted(records, key=lambda record: (record.group, record.name))


def _fraction_counts(sizes: list[int], fraction: float) -> list[int]:
    """Held-out records per group; the largest group gives or keeps one where a part would have none at all."""
    counts = [round(fraction * size) for size in sizes]
    largest = sizes.index(max(sizes))
    if sum(counts) == 0:
        counts[largest] = 1
    elif sum(counts) == sum(sizes):
        counts[largest] -= 1
    return counts
