"""The pictures that benchmarks work on: KITTI road's or generated ones, and sets of any number made of them."""

import zlib
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from segkit.data.images import read_bytes
from segkit.data.records import Record
from segkit.road.dataset import IMAGES, LABELS, KittiRoadDataModule
from segkit.scenes.generate import generate_scenes

HEADER_END = 33
"""Bytes of a PNG's signature and its first chunk, IHDR, which no other chunk may precede."""


def labelled_pictures(settings: dict[str, Any], scratch: Path) -> list[Record]:
    """The training pictures of ``data.root``; where that is null, ``pictures`` generated ones, drawn once into scratch.

    Raises:
        UserError: ``data.root`` is not KITTI road's folder.
    """
    root = settings["data"]["root"]
    if root is None:
        root = scratch / "scenes"
        if not root.exists():
            generate_scenes(root, (settings["pictures"], 0), settings["seed"])
    return KittiRoadDataModule(root, image_shape=[32, 32], batch_size=1).labelled()


def repeat(records: Sequence[Record], root: Path, count: int) -> None:
    """Make ``root`` a data set of ``count`` training pictures in KITTI road's layout, links to those of ``records``."""
    for record, image, label in _named(records, root, count):
        image.symlink_to(record.image.resolve())
        label.symlink_to(_label(record).resolve())


def vary(records: Sequence[Record], root: Path, count: int) -> None:
    """As ``repeat``, but no two picture files are equal: a comment makes them others for the picture cache."""
    content = {record.name: read_bytes(record.image) for record in records}
    for number, (record, image, label) in enumerate(_named(records, root, count)):
        image.write_bytes(with_comment(content[record.name], str(number)))
        label.symlink_to(_label(record).resolve())


def with_comment(png: bytes, comment: str) -> bytes:
    """The same picture with a text chunk that says ``comment`` (Latin-1)."""
    chunk = b"tEXtComment\0" + comment.encode("latin-1")
    framed = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return png[:HEADER_END] + framed + png[HEADER_END:]


def _named(records: Sequence[Record], root: Path, count: int) -> Iterator[tuple[Record, Path, Path]]:
    for folder in (IMAGES, LABELS):
        (root / folder).mkdir(parents=True)
    for number, record in enumerate(islice(cycle(records), count)):
        image, label = f"{record.group}_{number:06d}.png", f"{record.group}_road_{number:06d}.png"
        yield record, root / IMAGES / image, root / LABELS / label


def _label(record: Record) -> Path:
    assert record.label is not None
    return record.label
