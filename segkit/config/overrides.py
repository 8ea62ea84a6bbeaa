"""What people type, in the order and the quotes that Hydra wants."""

import json
import re
from typing import Any

# Settings whose values are free text or paths, in which people do not expect a grammar.
TEXTS = {"question", "run", "into", "input", "output", "checkpoint", "predictions", "calibration", "hydra.run.dir"}
TEXTS |= {"data.root", "data.url", "data.cache_dir", "model.weights"}

# Hydra's options that are followed by a value of their own.
VALUED = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p", "--cfg", "-c")

MULTIRUN = {"-m", "--multirun"}

# Hydra's options that print something and run nothing.
PRINTING = {"--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--version", "--resolve"}
PRINTING |= {"--shell-completion", "-sc"}


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
    """Hydra's options with their values, and the rest: it accepts no options between settings."""
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


def is_sweep(flags: list[str]) -> bool:
    """Whether Hydra's options ask for several runs, and not for something to be printed."""
    return bool(MULTIRUN & set(flags)) and not any(flag.partition("=")[0] in PRINTING for flag in flags)


def quoted(word: str) -> str:
    """``key=value`` with a text or path as value put in the quotes that Hydra's grammar wants around odd characters."""
    key, sign, value = word.partition("=")
    plain = re.fullmatch(r"[\w./~:@%+*?-]*", value, re.ASCII) or value[:1] in "'\"[{$"
    if not sign or plain or key not in TEXTS:
        return word
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"
