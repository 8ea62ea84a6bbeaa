"""Which pictures and masks lie in a person's own folder, and which of them are for training."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from segkit.data.checks import (
    NAMES,
    NO_IMAGE,
    NO_IMAGES,
    NO_LABEL,
    SPLIT,
    TWICE,
    DataSetError,
    Layout,
    Problem,
    shortened,
)
from segkit.data.datasets.own.classes import Description
from segkit.data.description import PARTS
from segkit.data.records import SUFFIXES, Record
from segkit.data.splits import split_records
from segkit.errors import UserError, shortlist

ALSO = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""What people call the folders and lists of the three parts."""


@dataclass(frozen=True)
class Place:
    """The folders of pictures and of masks of a part (``all``: of every part), and the list of its pictures' names."""

    part: str
    images: Path
    masks: Path
    names: Path | None = None


def pictures_below(folder: Path) -> list[Path]:
    """Picture files in ``folder`` and the folders in it, by name."""
    files = (Path(place) / name for place, _, names in os.walk(folder, followlinks=True) for name in names)
    return sorted(path for path in files if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


def places(root: Path, description: Description) -> list[Place]:
    """Where the parts lie: as the classes file says, by lists, by folders below or above, or all in one place."""
    images, masks = root / description.images, root / description.masks
    if description.parts:
        return [_named(root, description, part, place) for part, place in description.parts.items()]
    if images.is_dir():
        lists = {part: next(_existing(root, [f"{name}.txt" for name in ALSO[part]]), None) for part in PARTS}
        if any(lists.values()):
            return [Place(part, images, masks, path) for part, path in lists.items() if path is not None]
        below = {part: next(_existing(images, ALSO[part]), None) for part in PARTS}
        if any(below.values()):
            return [Place(part, path, masks / path.name) for part, path in below.items() if path is not None]
        return [Place("all", images, masks)]
    above = {part: next(_existing(root, ALSO[part]), None) for part in PARTS}
    found = [
        Place(part, path / description.images, path / description.masks)
        for part, path in above.items()
        if path is not None and (path / description.images).is_dir()
    ]
    if found:
        return found
    there = shortlist([f"{path.name}/" for path in sorted(root.iterdir()) if path.is_dir()]) or "no folders"
    raise DataSetError(
        f"data.root={root}: has neither {description.images}/ nor train/{description.images}/ (found: {there}). Set "
        f"data.root to the folder that holds it, or images: in {description.file.name} to what it is called"
    )


def scan_folder(root: Path, description: Description, val_fraction: float) -> Layout:
    """All pictures with their masks; where no part is for validation, the last of each folder are.

    Raises:
        DataSetError: there are no pictures to be found.
    """
    parts: dict[str, list[Record]] = {part: [] for part in (*PARTS, "all")}
    problems, found, count, used = list[Problem](), list[str](), 0, set[Path]()
    for place in places(root, description):
        masks = _by_name(place.masks, description.mask_suffix)
        images, twice = _images(place)
        problems += [Problem(NAMES, f"{shortened(path, root)} has another picture's name") for path in twice]
        chosen, more = (list(images), []) if place.names is None else _listed(place.names, images)
        problems += more
        where, under = f"{shortened(place.images, root)}/", f"{shortened(place.masks, root)}/"
        found.append(f"{len(chosen)} images in {where}, {len(masks)} masks in {under}")
        if not chosen and place.part != "test":
            problems.append(Problem(NO_IMAGES, f"{shortened(place.names, root) if place.names else where} has none"))
        for name in chosen:
            mask = masks.get(name)
            if mask is None and place.part != "test":
                wanted = f"{under}{name}{description.mask_suffix}.png"
                problems.append(Problem(NO_LABEL, f"{shortened(images[name], root)} has no {wanted}"))
            group = name.rpartition("/")[0] or "all"
            parts[place.part].append(Record(name.replace("/", "_"), group, images[name], mask))
        if place.masks not in used:
            count += len(masks)
            bare = sorted(masks.keys() - images.keys())
            problems += [Problem(NO_IMAGE, f"{shortened(masks[name], root)} has no {where}{name}.*") for name in bare]
        used.add(place.masks)
    everything = parts.pop("all")
    if everything or not parts["val"]:
        labelled = everything or parts["train"]
        try:
            train, val = (
                split_records(labelled, "fraction", fold=0, val_fraction=val_fraction) if labelled else ([], [])
            )
            parts |= {"train": train, "val": val}
            found.append(f"no part for validation: the last {len(val)} of {len(labelled)} pictures are (val_fraction)")
        except UserError as error:
            problems.append(Problem(SPLIT, str(error)))
    return Layout(_apart(parts, root, problems), found, {"mask": count}, problems)


def _named(root: Path, description: Description, part: str, place: str) -> Place:
    """A part as ultralytics' files name it: a folder below that of the pictures, or a list of names."""
    path = root / place
    if path.suffix == ".txt":
        return Place(part, root / description.images, root / description.masks, path)
    words = [description.masks if word == description.images else word for word in Path(place).parts]
    return Place(part, path, root.joinpath(*words))


def _existing(folder: Path, names: tuple[str, ...] | list[str]) -> Iterator[Path]:
    return (folder / name for name in names if (folder / name).exists())


def _images(place: Place) -> tuple[dict[str, Path], list[Path]]:
    """Pictures by their names below the folder, without ending, and those whose name another one has."""
    found: dict[str, Path] = {}
    twice = []
    for path in pictures_below(place.images):
        name = path.relative_to(place.images).with_suffix("").as_posix()
        if found.setdefault(name, path) != path:
            twice.append(path)
    return found, twice


def _by_name(folder: Path, suffix: str) -> dict[str, Path]:
    names = {path.relative_to(folder).with_suffix("").as_posix(): path for path in pictures_below(folder)}
    return {name.removesuffix(suffix): path for name, path in names.items() if name.endswith(suffix)}


def _listed(file: Path, images: Mapping[str, Path]) -> tuple[list[str], list[Problem]]:
    """The pictures that a list names, a line each: by name, file name, or path."""
    try:
        lines = [line.strip() for line in file.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        return [], [Problem(NO_IMAGES, f"{file.name} cannot be read: {error}")]
    found, problems = [], []
    for line in lines:
        path = Path(line)
        whole = (path.with_suffix("") if path.suffix.lower() in SUFFIXES else path).as_posix()
        words = whole.split("/")
        name = next((rest for start in range(len(words)) if (rest := "/".join(words[start:])) in images), None)
        if name is None:
            problems.append(Problem(NO_IMAGES, f"{file.name} names {line}, and there is no such picture"))
        else:
            found.append(name)
    return sorted(set(found)), problems


def _apart(parts: Mapping[str, list[Record]], root: Path, problems: list[Problem]) -> dict[str, list[Record]]:
    """The parts with names that tell all records apart; the same picture in two of them is a problem."""
    counts = Counter(record.name for part in PARTS for record in parts[part])
    first: dict[str, Record] = {}
    found: dict[str, list[Record]] = {}
    for part in PARTS:
        found[part] = []
        for record in parts[part]:
            if counts[record.name] == 1:
                found[part].append(record)
                continue
            other = first.setdefault(record.name, record)
            same = other is not record and other.image.read_bytes() == record.image.read_bytes()
            if same:
                text = f"{shortened(other.image, root)} is also {shortened(record.image, root)}, in {part}"
                problems.append(Problem(TWICE, text))
            found[part].append(Record(f"{part}_{record.name}", record.group, record.image, record.label))
    return found
