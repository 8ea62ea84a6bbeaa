"""A first look at a person's own folder: what its masks hold, and a classes file to correct (``action=init``)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segkit.data.checks import PictureError, shortened
from segkit.data.datasets.camvid import CLASSES as CAMVID
from segkit.data.datasets.cityscapes import CLASSES as CITYSCAPES
from segkit.data.datasets.own.classes import FILE
from segkit.data.datasets.own.layout import pictures_below
from segkit.data.datasets.own.masks import mask_values, packed
from segkit.data.images import decode_image, read_bytes
from segkit.errors import UserError, shortlist
from segkit.runs.files import write_whole

IMAGES = ("images", "image", "imgs", "img", "pictures", "photos", "jpegimages", "rgb")
MASKS = ("masks", "mask", "labels", "label", "annotations", "annotation", "gt", "segmentationclass", "segmentation")
PARTS = ("train", "training", "val", "valid", "validation", "test", "testing")
SUFFIXES = ("", "_mask", "_L", "_label", "_labels", "_gt", "_seg", "-mask")
MOST = 200
"""Values or colours of masks beyond which they are no classes."""

Value = tuple[int, ...]
"""What a mask holds at a pixel: a number (n,) or a colour (red, green, blue)."""

KNOWN: Sequence[Mapping[Value, str]] = [
    {item.colour: item.name for item in classes if item.colour is not None} for classes in (CAMVID, CITYSCAPES)
]
"""Data sets whose colours people use for their own masks."""

BLACK, VOID = (0, 0, 0), (255,)


@dataclass
class Look:
    """What lies in a folder.

    ``values``: pixels and masks by what a mask holds. ``sizes``: pictures by (height, width).
    ``problems``: lines about files that could not be read, and pictures without a mask.
    """

    images: str
    masks: str
    suffix: str
    pictures: int = 0
    pairs: int = 0
    values: dict[Value, list[int]] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def in_colour(self) -> bool:
        """Whether masks tell classes apart by colour."""
        return any(len(value) == 3 for value in self.values)


def look_at(root: Path) -> Look:
    """Find the folders of pictures and masks below ``root``, and count what the masks hold.

    Raises:
        UserError: there are no such folders, no mask belongs to a picture, or masks hold more than classes.
    """
    if not root.is_dir():
        raise UserError(f"data.root={root}: there is no such folder")
    homes = [root, *(root / part for part in PARTS if (root / part).is_dir())]
    names = [_called(homes, known, root) for known in (IMAGES, MASKS)]
    found = Look(names[0], names[1], "")
    pairs: list[tuple[Path, Path]] = []
    bare: list[Path] = []
    for home in homes:
        masks = {_name(path, home / found.masks): path for path in pictures_below(home / found.masks)}
        images = {_name(path, home / found.images): path for path in pictures_below(home / found.images)}
        if not pairs:
            found.suffix = max(SUFFIXES, key=lambda suffix: sum(f"{name}{suffix}" in masks for name in images))
        pairs += [(path, masks[name + found.suffix]) for name, path in images.items() if name + found.suffix in masks]
        bare += [path for name, path in images.items() if name + found.suffix not in masks and masks]
        found.pictures += len(images)
    found.pairs = len(pairs)
    if bare:
        shown = shortlist([shortened(path, root) for path in bare])
        found.problems.append(f"{len(bare)} pictures have no mask of their name: {shown}")
    if not pairs:
        raise UserError(
            f"data.root={root}: none of the {found.pictures} pictures in {found.images}/ has a mask of its name in "
            f"{found.masks}/; a mask is called as its picture, with any ending"
        )
    _count(found, pairs, root)
    return found


def _called(homes: Sequence[Path], known: Sequence[str], root: Path) -> str:
    """What the folder of pictures, or of masks, is called."""
    there = {path.name for home in homes for path in home.iterdir() if path.is_dir()}
    for name in known:
        for other in sorted(there):
            if other.lower() == name and any(pictures_below(home / other) for home in homes):
                return other
    shown = shortlist([f"{name}/" for name in sorted(there)]) or "no folders"
    raise UserError(f"data.root={root}: has no folder called {known[0]} (found: {shown}); rename yours, or link to it")


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _count(found: Look, pairs: Sequence[tuple[Path, Path]], root: Path) -> None:
    def one(pair: tuple[Path, Path]) -> tuple[tuple[int, int], dict[Value, int]] | PictureError:
        try:
            image, mask = decode_image(pair[0]), mask_values(read_bytes(pair[1]), pair[1])
        except PictureError as error:
            return error
        grey = mask.ndim == 2 or bool((mask == mask[..., :1]).all())
        kinds, counts = np.unique(
            mask if mask.ndim == 2 else mask[..., 0] if grey else packed(mask), return_counts=True
        )
        values = [(kind,) if grey else (kind >> 16, kind >> 8 & 255, kind & 255) for kind in kinds.tolist()]
        return (image.shape[0], image.shape[1]), dict(zip(values, counts.tolist(), strict=True))

    with ThreadPoolExecutor() as pool:
        for result in pool.map(one, pairs):
            if isinstance(result, PictureError):
                found.problems.append(f"{shortened(result.path, root)} {result.detail}")
                continue
            found.sizes[result[0]] += 1
            for value, count in result[1].items():
                entry = found.values.setdefault(value, [0, 0])
                entry[0] += count
                entry[1] += 1
    if not found.values:
        raise UserError(f"data.root={root}: no picture with its mask can be read: {shortlist(found.problems)}")
    if found.in_colour:  # a mask that holds black or white alone is one of colours too
        for value in [value for value in found.values if len(value) == 1]:
            pixels, masks = found.values.pop(value)
            entry = found.values.setdefault(value * 3, [0, 0])
            entry[0], entry[1] = entry[0] + pixels, entry[1] + masks
    if len(found.values) > MOST:
        raise UserError(
            f"data.root={root}: the masks in {found.masks}/ hold {len(found.values)} "
            f"{'colours' if found.in_colour else 'values'}, too many for classes. Were they saved as JPEG, or resized "
            f"with blended edges? Write them anew as PNG; or {found.masks}/ holds something else"
        )


def write_classes(root: Path, found: Look) -> Path:
    """Write ``classes.yaml`` into ``root``, and return it.

    Raises:
        UserError: there is one already, or it cannot be written.
    """
    path = root / FILE
    if path.exists():
        raise UserError(f"{path} is there already: correct it, or remove it and look again")
    write_whole(path, classes_text(found).encode())
    return path


def classes_text(found: Look) -> str:
    """A classes file that says what was found, and what a person should look at."""
    ignored, names = _guess(found)
    total = sum(pixels for pixels, _ in found.values.values())
    width = max(len(name) for name in names.values())

    def seen(value: Value) -> str:
        pixels, masks = found.values[value]
        return f"{100 * pixels / total:6.2f} % of all pixels, in {masks} of {found.pairs} masks"

    lines = [
        "# What the masks in this folder mean, as segkit guesses: look at it with",
        "#   segkit data action=show data=folder data.root=<this folder>",
        "# and correct names. Each class is one line; neighbours may be joined later (data.classes).",
        "names:",
    ]
    for number, (value, name) in enumerate(names.items()):
        lines.append(f"  {number}: {name:<{width}}  # {_written(value)}: {seen(value)}")
    if found.in_colour:
        lines += ["", "# The colours of the masks, RGB, which are those of painted pictures too", "colours:"]
        lines += [f"  {number}: {_written(value)}" for number, value in enumerate(names)]
    elif list(names) != [(number,) for number in range(len(names))]:
        lines += ["", "# Which value of a mask is which class", "label_mapping:"]
        lines += [f"  {_written(value)}: {number}" for number, value in enumerate(names)]
    lines += ["", "# Values or colours of masks that count in neither loss nor score"]
    lines += ["ignore:", *(f"  - {_written(value)}  # {seen(value)}" for value in ignored)] if ignored else []
    lines += [] if ignored else ["ignore: []" if VOID in names else "ignore: [255]"]
    for key, folder, usual in (("images", found.images, "images"), ("masks", found.masks, "masks")):
        lines += ["", f"# The folder of the {key}", f"{key}: {folder}"] if folder != usual else []
    if found.suffix:
        lines += ["", "# What a mask's name has behind its picture's", f"mask_suffix: {found.suffix}"]
    return "\n".join(lines) + "\n"


def _written(value: Value) -> int | list[int]:
    return value[0] if len(value) == 1 else list(value)


def _guess(found: Look) -> tuple[list[Value], dict[Value, str]]:
    """What is not scored, and a name for each other value."""
    values, void = sorted(found.values), list[Value]()
    if len(values) == 1:
        raise UserError(f"{found.masks}/: all masks hold {_written(values[0])} alone; there is nothing to learn")
    if not found.in_colour:
        void += [VOID] if VOID in values and len(values) > 2 else []
        kept = [value for value in values if value not in void]
        if len(kept) == 2 and kept[0] == (0,):
            return void, {kept[0]: "background", kept[1]: "object"}
        return void, {value: f"class_{value[0]}" for value in kept}
    known = max(({value: name for value, name in palette.items() if value in values} for palette in KNOWN), key=len)
    named = known if 2 * len(known) > len(values) else {}
    void += [BLACK] if BLACK in values and named and BLACK not in named else []
    others = [value for value in values if value not in void and value not in named]
    unnamed = {value: "background" if value == BLACK else f"class_{i}" for i, value in enumerate(others, len(named))}
    return void, {**named, **unnamed}


def image_shape(found: Look) -> tuple[int, int]:
    """(height, width) for ``data.image_shape``: the most frequent picture's, at most 512 high or wide, in 32s."""
    (height, width), _ = found.sizes.most_common(1)[0]
    factor = min(1.0, 512 / max(height, width))
    return max(32, round(height * factor / 32) * 32), max(32, round(width * factor / 32) * 32)
