"""``--help``: every setting with its value and its meaning, which is the comment beside it in ``conf/``."""

import itertools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf

from segkit.config.check import shown
from segkit.config.compose import CONF

WIDTH, LEFT = 100, 36
ITEM = re.compile(r"\w+ {2,}")
LINE = re.compile(r"( *)([\w/]+):(?: +(.*?))?(?:\s+#\s*(.*))?$")


def help_text(command: str, config: DictConfig, config_dir: Path | None) -> str:
    """The help of a command, at most 100 columns wide, for the config that its words compose to."""
    places = [*([config_dir] if config_dir else []), CONF]
    choices = {str(group): str(choice) for group, choice in config.hydra.runtime.choices.items() if choice}
    head = [part for line in _head(CONF / f"{command}.yaml") for part in textwrap.wrap(line, WIDTH)]
    lines = [*head, "", f"usage: segkit {command} [key=value …] [group=file …] [options]", ""]
    groups = [group for group in reversed(_groups(config, places)) if not group.startswith("hydra/")]
    if groups:
        lines.append("Files to choose from, group=file:")
        for group in groups:
            options = sorted({path.stem for place in places for path in (place / group).glob("*.yaml")})
            lines += _columns(group, ", ".join(options))
        lines.append("")
    values = cast(dict[str, Any], OmegaConf.to_container(config))
    values.pop("hydra")
    own = CONF / f"{command}.yaml"
    defaults = yaml.safe_load(own.read_text()).get("defaults", [])
    meanings = _meanings(
        [own, *(CONF / f"{name}.yaml" for name in defaults if isinstance(name, str) and name != "_self_")]
    )
    lines.append("Settings as they stand, key=value:")
    for key, value in values.items():
        if not isinstance(value, dict):
            lines += _columns(f"{key} = {_short(value)}", meanings.get(key, ""))
    for group, value in values.items():
        if not isinstance(value, dict):
            continue
        # A group may take its files from another folder: hydra/launcher@sagemaker.
        source = next((key for key in choices if key.partition("@")[2] == group), group)
        chosen = choices.get(source)
        lines += ["", f"{group}" + (f" = {chosen}" if chosen and source == group else "")]
        files = [path for place in places for path in sorted((place / source.partition("@")[0]).glob("*.yaml"))]
        files.sort(key=lambda path: path.stem != chosen)
        beside = {key.removeprefix(f"{group}."): text for key, text in meanings.items() if key.startswith(f"{group}.")}
        beside = _meanings(files) | beside
        for key, item in _leaves(value):
            if key != "_target_":
                lines += _columns(f"  {group}.{key} = {_short(item)}", beside.get(key, ""))
    lines += [
        "",
        "Options: --cfg job prints the settings alone; --config-dir=<folder> adds config files;",
        "--multirun (-m) runs several values (key=a,b); HYDRA_FULL_ERROR=1 shows tracebacks.",
    ]
    return "\n".join(lines) + "\n"


def _head(path: Path) -> list[str]:
    """The comment at the top of a config file."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    return [line.removeprefix("#").strip() for line in lines]


def _groups(config: DictConfig, places: list[Path]) -> list[str]:
    return [str(group) for group in config.hydra.runtime.choices if any((place / group).is_dir() for place in places)]


def _leaves(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield from _leaves(item, f"{above}{key}.")
        else:
            yield f"{above}{key}", item


def _short(value: Any) -> str:
    text = shown(value)
    return text if len(text) <= WIDTH - LEFT else f"{text[: WIDTH - LEFT]}…"


def _columns(left: str, right: str) -> list[str]:
    """A line with ``right`` in a column of its own, or beginning below where ``left`` needs the room."""
    column = [line for part in right.splitlines() for line in _wrapped(part)]
    if len(left) < LEFT and column:
        return [f"{left:<{LEFT}}{column[0]}", *(f"{'':<{LEFT}}{line}" for line in column[1:])]
    return [left, *(f"{'':<{LEFT}}{line}" for line in column)]


def _wrapped(text: str) -> list[str]:
    """Lines of the right column; of an item of a list, ``name  meaning``, the meaning stays below itself."""
    item = ITEM.match(text)
    return textwrap.wrap(text, WIDTH - LEFT, subsequent_indent=" " * len(item[0]) if item else "")


def _paragraphs(lines: list[str]) -> str:
    """A comment as one paragraph, but for items of a list in it, which stand deeper: a line each."""
    text, listed = "", False
    for line in lines:
        item = line.startswith("#   ")
        text += ("\n" if item or listed else " ") + line.lstrip("# ")
        listed = item
    return text.strip()


def _meanings(files: list[Path]) -> dict[str, str]:
    """What is written beside or above each key, by dotted key; the first file that says something counts."""
    found: dict[str, str] = {}
    for file in files:
        open_keys: list[tuple[int, str]] = []
        above: list[str] = []
        for line in file.read_text().splitlines():
            if line.lstrip().startswith("#"):
                above.append(line.strip())
                continue
            match = LINE.match(line)
            if match:
                indent = len(match[1])
                open_keys = [(depth, key) for depth, key in open_keys if depth < indent]
                open_keys.append((indent, match[2]))
                text = match[4] or _paragraphs(above)
                if text:
                    found.setdefault(".".join(key for _, key in open_keys), text)
            above = []
    return found
