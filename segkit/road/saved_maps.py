"""Anyone's confidence maps, as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segkit.data.checks import SIZES, UNREADABLE, PictureError, Problem, grouped
from segkit.data.images import PngHeader, decode_values, png_header, read_bytes
from segkit.data.records import Record
from segkit.errors import UserError
from segkit.road import BirdsEyeView

MISSING = "missing maps"
FORMAT = "maps that are not 8-bit grey"
SIZE = "maps of a wrong size"
FROM_ABOVE = "maps in bird's-eye view, which cannot be scored in the picture (view=bev scores them)"

COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
"""PNG's colour types in words."""


class SavedMaps:
    """A folder of 8-bit grey PNGs named um_road_000000.png …, each of its picture's size or of the bird's-eye grid's.

    Args:
        folder: where the maps lie; other files in it are left alone.
        target: ``road`` or ``lane``, the middle of the maps' names.
    """

    def __init__(self, folder: Path, target: Literal["road", "lane"]) -> None:
        self.folder, self.target = folder, target

    def path(self, record: Record) -> Path:
        """The map of a record: ``um_road_000005.png`` for ``um_000005``, or ``um_000005.png``, as segkit predict writes
        it, where that alone is there."""
        category, _, number = record.name.partition("_")
        own, plain = (self.folder / f"{name}.png" for name in (f"{category}_{self.target}_{number}", record.name))
        return plain if plain.is_file() and not own.is_file() else own

    def check(self, records: Sequence[Record], views: Sequence[str]) -> None:
        """Look at the names and headers of all maps; no picture is decoded.

        Args:
            records: labelled pictures, of each of which a map is needed.
            views: ``perspective`` and ``bev``, or one of them.

        Raises:
            UserError: maps are missing, of another format than 8-bit grey PNG or of a wrong size: one report of all.
        """
        present = {path.name for path in self.folder.iterdir()}
        problems: list[Problem] = []
        for record in records:
            path = self.path(record)
            if path.name not in present:
                problems.append(Problem(MISSING, path.name))
                continue
            wanted = _size(record)
            try:
                problem = _problem(png_header(path), wanted, record.image.name, views)
            except PictureError as error:
                problem = UNREADABLE, error.detail
            if problem is not None:
                kind, detail = problem
                problems.append(Problem(kind, f"{path.name} {detail}"))
        if problems:
            raise UserError(self._report(problems, sorted(name for name in present if name.endswith(".png"))))

    def read(self, record: Record) -> NDArray[np.uint8]:
        """The map of a record that ``check`` has passed, uint8 (H, W), 0…255.

        Raises:
            UserError: the file is damaged.
        """
        path = self.path(record)
        return np.asarray(decode_values(read_bytes(path), path), np.uint8)

    def _report(self, problems: Sequence[Problem], pngs: Sequence[str]) -> str:
        held = f"{len(pngs)} PNG files, {pngs[0]} the first" if pngs else "no PNG files"
        lines = [f"predictions={self.folder} cannot be scored as it is.", f"  found {held}"]
        return "\n".join([*lines, *grouped(problems)])


def _size(record: Record) -> tuple[int, int]:
    """Width and height of a record's picture and label. Raises PictureError where they are not the same."""
    assert record.label is not None
    picture, label = png_header(record.image), png_header(record.label)
    if (picture.width, picture.height) != (label.width, label.height):
        sizes = f"is {label.width}×{label.height}, its image {picture.width}×{picture.height}"
        raise PictureError(SIZES, record.label, sizes)
    return label.width, label.height


def _problem(header: PngHeader, wanted: tuple[int, int], picture: str, views: Sequence[str]) -> tuple[str, str] | None:
    """What kind of problem a map has, and in words what it is; None for a map that can be scored in all ``views``."""
    if (header.depth, header.colour_type) != (8, 0):
        return FORMAT, f"is {header.depth}-bit {COLOURS.get(header.colour_type, 'of an unknown colour type')}"
    size = header.width, header.height
    above = BirdsEyeView().shape[::-1]
    if size == wanted or (size == above and "perspective" not in views):
        return None
    if size == above:
        return FROM_ABOVE, f"is {_times(size)} (width×height), {picture} is {_times(wanted)}"
    either = f" or, in bird's-eye view, {_times(above)}" if "perspective" not in views else ""
    return SIZE, f"is {_times(size)}; wanted is {_times(wanted)} (width×height) as {picture}{either}"


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
