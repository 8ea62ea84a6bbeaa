"""What people type: the words and the options of a command line, and the quotes that Hydra's grammar wants."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from segkit.errors import UserError

# Settings whose values are free text or paths, in which people do not expect a grammar.
TEXTS = {"question", "run", "into", "input", "output", "checkpoint", "predictions", "calibration", "hydra.run.dir"}
TEXTS |= {
    "data.root",
    "data.url",
    "data.cache_dir",
    "model.weights",
    "resume",
    "init_from",
    "sweep",
    "upload",
    "against",
    "about",
}

VALUED = ("--config-dir", "-cd", "--cfg", "-c")
"""Options that are followed by a value of their own."""


@dataclass(frozen=True)
class Options:
    """``config_dir``: a folder of more config files; ``resolve``: print values in the place of references to them."""

    config_dir: Path | None = None
    multirun: bool = False
    help: bool = False
    print_config: bool = False
    resolve: bool = False


def read_options(flags: Iterable[str]) -> Options:
    """The options of a command line, as ``split_flags`` gives them.

    Raises:
        UserError: an unknown one, or a folder that is not there.
    """
    found: dict[str, Any] = {}
    words = iter(flags)
    for flag in words:
        name, sign, value = flag.partition("=")
        value = value if sign or name not in VALUED else next(words, "")
        if name in ("--config-dir", "-cd"):
            found["config_dir"] = Path(value).expanduser().absolute()
            if not value or not found["config_dir"].is_dir():
                raise UserError(f"{name}: {value} is no folder")
        elif name in ("--cfg", "-c") and value == "job":
            found["print_config"] = True
        elif flag in ("-m", "--multirun"):
            found["multirun"] = True
        elif flag in ("-h", "--help"):
            found["help"] = True
        elif flag == "--resolve":
            found["resolve"] = True
        else:
            known = "--help, --cfg job (with --resolve), --config-dir=<folder> and --multirun"
            raise UserError(f"{flag}: no such option; there are {known}")
    return Options(**found)


def value_of(words: Iterable[str], key: str) -> Any:
    """The value that ``key`` was given on the command line, the last one; None where it was not."""
    typed = [word for word in words if word.partition("=")[0] == key]
    if not typed:
        return None
    try:
        return OverridesParser.create().parse_override(quoted(typed[-1])).value()
    except (HydraException, RecursionError):
        return typed[-1].partition("=")[2]


def override(key: str, value: Any) -> str:
    """``key=value`` in Hydra's grammar, for any value that a config can hold."""
    return f"{key}={_grammar(value)}"


def _grammar(value: Any) -> str:
    if isinstance(value, str):
        if re.fullmatch(r"[A-Za-z_./][\w./-]*", value, re.ASCII) and value.lower() not in (
            "true",
            "false",
            "null",
            "nan",
            "inf",
        ):
            return value
        escaped = re.sub(r"(\\*)'", r"\1\1\'", value)  # backslashes count before a quote alone
        return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"
    if isinstance(value, list):
        return f"[{','.join(map(_grammar, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_grammar(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def split_flags(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Options with their values, and the settings."""
    flags: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            rest.append(word)
            continue
        flags.append(word)
        if word in VALUED:
            flags += [value for value in [next(words, None)] if value is not None]
    return flags, rest


def quoted(word: str) -> str:
    """``key=value`` with a text or path as value put in the quotes that Hydra's grammar wants around odd characters."""
    key, sign, value = word.partition("=")
    plain = re.fullmatch(r"[\w./~:@%+*?-]*", value, re.ASCII) or value[:1] in "'\"[{$"
    if not sign or plain or key not in TEXTS:
        return word
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"


def as_list(value: str | list[str]) -> list[str]:
    """Several words, or one alone, as a list."""
    return [value] if isinstance(value, str) else value
