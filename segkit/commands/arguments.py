"""What people type, in the order and the quotes that Hydra wants."""

import re

# Settings whose values are free text or paths, in which people do not expect a grammar.
TEXTS = {"question", "run", "into", "input", "output", "checkpoint", "predictions", "calibration", "hydra.run.dir"}
TEXTS |= {"data.root", "data.url", "data.cache_dir", "model.weights"}

# Hydra's options that are followed by a value of their own.
VALUED = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p", "--cfg", "-c")


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


def quoted(word: str) -> str:
    """``key=value`` with a text or path as value put in the quotes that Hydra's grammar wants around odd characters."""
    key, sign, value = word.partition("=")
    plain = re.fullmatch(r"[\w./~:@%+*?-]*", value) or value[:1] in "'\"[{$"
    if not sign or plain or key not in TEXTS:
        return word
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"
