"""The file beside a person's own pictures that says what their masks mean: segkit's, or ultralytics' semantic one."""

import colorsys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segkit.data.records import IGNORE_INDEX, SegmentationClass
from segkit.errors import UserError, choices
from segkit.runs.plain import read_yaml
from segkit.runs.regular import read_text

FILE = "classes.yaml"
Colour = tuple[int, int, int]
"""RGB, 0…255."""

KEYS = ("names", "colours", "label_mapping", "ignore", "images", "masks", "mask_suffix", "train", "val", "test")
OTHERS = ("path", "nc", "masks_dir", "download", "channels")
"""Keys of ultralytics' files beside ``KEYS``; ``masks_dir`` is what is called ``masks`` here."""


@dataclass(frozen=True)
class Description:
    """What a classes file says.

    Attributes:
        classes: by their numbers.
        numbers: class by value of a one-channel mask, 255 for what is not scored.
        colours: class by colour of an RGB mask, 255 for what is not scored; empty where such masks are grey pictures
            of numbers.
        images, masks: names of the folders of pictures and masks.
        mask_suffix: what a mask's name has behind its picture's.
        parts: the folder, or the list of names, of each part that the file names.
        file: the file itself.
    """

    classes: tuple[SegmentationClass, ...]
    numbers: Mapping[int, int]
    colours: Mapping[Colour, int]
    images: str
    masks: str
    mask_suffix: str
    parts: Mapping[str, str]
    file: Path = field(compare=False)


def find_file(root: Path) -> Path:
    """The classes file of ``root``: ``classes.yaml``, else the only YAML file there that has ``names``.

    Raises:
        UserError: there is none, or more than one.
    """
    if (root / FILE).is_file() or not root.is_dir():
        return root / FILE
    others = [path for path in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]) if _names_classes(path)]
    if len(others) == 1:
        return others[0]
    if others:
        names = ", ".join(path.name for path in others)
        raise UserError(f"data.root={root}: {names} all have names; say which by data.description=<file>")
    return root / FILE


def _names_classes(path: Path) -> bool:
    try:
        return "names:" in read_text(path)
    except (OSError, UnicodeDecodeError):
        return False


def read_description(file: Path, root: Path) -> Description:
    """What ``file`` says of the masks below ``root``.

    Raises:
        UserError: it is not there, or says nothing that can be used; the line names file and key.
    """
    try:
        content = read_yaml(file)
    except FileNotFoundError as error:
        if not root.is_dir():
            raise UserError(f"data.root={root}: there is no such folder") from error
        raise UserError(
            f"data.root={root} has no {FILE}, which says what the masks mean: "
            f"segkit data action=init data.root={root} looks at them and writes one"
        ) from error
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from error
    except UserError as error:
        raise UserError(f"{file}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds no keys; it needs names: the classes by their numbers")
    for key in content:
        if key not in KEYS and key not in OTHERS:
            raise UserError(f"{file}: {key} is no key{choices(key, KEYS)}")
    names = _names(content.get("names"), file)
    numbered = {name: number for number, name in enumerate(names)}
    own = _colours(content.get("colours"), numbered, file)
    painted = [own.get(number, colour) for number, colour in enumerate(palette(len(names)))]
    classes = tuple(
        # What is left when all that is looked for is taken away is not painted.
        SegmentationClass(name, None if name == "background" else colour, background=name == "background")
        for name, colour in zip(names, painted, strict=True)
    )
    numbers, colours = _ignored(content.get("ignore", [IGNORE_INDEX]), file)
    mapping = content.get("label_mapping")
    by_colour = {colour: number for number, colour in own.items() if colour is not None}
    known = {number: number for number in range(len(names))} if mapping is None else _mapping(mapping, numbered, file)
    return Description(
        classes,
        dict.fromkeys(numbers, IGNORE_INDEX) | known,
        dict.fromkeys(colours, IGNORE_INDEX) | by_colour if mapping is None and by_colour else {},
        _text(content, "images", "images", file),
        _text(content, "masks", content.get("masks_dir", "masks"), file),
        _text(content, "mask_suffix", "", file),
        {part: _text(content, part, "", file) for part in ("train", "val", "test") if content.get(part)},
        file,
    )


def palette(count: int) -> list[Colour]:
    """Colours that are easy to tell apart."""
    found = []
    for number in range(count):
        hue, light = number * 0.618034 % 1, (0.95, 0.7)[number % 2]
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, light)
        found.append((round(255 * red), round(255 * green), round(255 * blue)))
    return found


def _names(value: Any, file: Path) -> list[str]:
    entries = dict(enumerate(value)) if isinstance(value, list) else value
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"{file}: names should be the classes by their numbers, such as {{0: background, 1: road}}")
    if sorted(map(str, entries)) != sorted(map(str, range(len(entries)))) or len(entries) > 250:
        raise UserError(f"{file}: the numbers of names should run from 0 to {len(entries) - 1}; 250 classes at most")
    names = [str(entries[number]).strip() for number in sorted(entries)]
    twice = [name for name, count in Counter(names).items() if count > 1 or not name]
    if twice:
        raise UserError(f"{file}: names has {twice[0] or 'an empty name'} more than once; each class needs its own")
    if len(names) < 2:
        raise UserError(f"{file}: names has one class; give the rest one too, such as {{0: background, 1: {names[0]}}}")
    return names


def _colours(value: Any, numbered: Mapping[str, int], file: Path) -> dict[int, Colour | None]:
    """RGB by class number; None = the class is not painted."""
    entries = dict(enumerate(value)) if isinstance(value, list) else value or {}
    if not isinstance(entries, dict):
        raise UserError(f"{file}: colours should be RGB by class, such as {{road: [128, 64, 128]}}")
    found: dict[int, Colour | None] = {}
    for key, colour in entries.items():
        number = _class(key, numbered, file, "colours")
        found[number] = None if colour is None else _rgb(colour, f"{file}: colours.{key}")
    used = Counter(colour for colour in found.values() if colour is not None)
    for colour, count in used.items():
        if count > 1:
            raise UserError(f"{file}: colours has {list(colour)} for more than one class")
    return found


def _mapping(value: Any, numbered: Mapping[str, int], file: Path) -> dict[int, int]:
    """Class by mask value; ultralytics' ``ignore_label`` and 255 are not scored."""
    if not isinstance(value, dict) or not value or not all(type(key) is int for key in value):
        raise UserError(f"{file}: label_mapping should be a class by mask value, such as {{0: 0, 255: 1}}")
    found = {}
    for key, word in value.items():
        dropped = word is None or word == IGNORE_INDEX or (isinstance(word, str) and word.startswith("ignore"))
        found[key] = IGNORE_INDEX if dropped else _class(word, numbered, file, f"label_mapping.{key}")
    return found


def _class(word: Any, numbered: Mapping[str, int], file: Path, key: str) -> int:
    if type(word) is int and 0 <= word < len(numbered):
        return word
    if word in numbered:
        return numbered[word]
    raise UserError(f"{file}: {key}: there is no class {word}{choices(word, list(numbered))}")


def _ignored(value: Any, file: Path) -> tuple[list[int], list[Colour]]:
    """The mask values and the colours that are not scored."""
    items = value if isinstance(value, list) else [] if value is None else [value]
    numbers = [item for item in items if type(item) is int]
    return numbers, [_rgb(item, f"{file}: ignore") for item in items if type(item) is not int]


def _rgb(value: Any, key: str) -> Colour:
    if isinstance(value, list) and len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value):
        return value[0], value[1], value[2]
    raise UserError(f"{key}: {value} should be a colour, three whole numbers 0…255 such as [128, 64, 128]")


def _text(content: Mapping[str, Any], key: str, default: Any, file: Path) -> str:
    value = content.get(key, default)
    if isinstance(value, str):
        return value.rstrip("/")
    raise UserError(f"{file}: {key}={value} should be the name of a folder or file, or a text")
