"""What is made of a composed config: plain settings, the files that a run folder keeps of it, mistakes in one line."""

import re
import sys
from pathlib import Path
from typing import Any, cast

from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segkit.errors import UserError

CONF = Path(__file__).resolve().parents[2] / "conf"


def resolved(config: DictConfig) -> dict[str, Any]:
    """The config as plain dicts and lists, interpolations put in.

    Raises:
        UserError: a value is missing, or refers to something that is not there.
    """
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise UserError("\n".join(f"{key} is missing: give {key}=…" for key in missing))
        return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    except OmegaConfBaseException as error:
        raise UserError(readable(error)) from error


def kept_files(config: DictConfig, hydra_config: Any) -> dict[str, str]:
    """What a run folder keeps of a config, by file name, and of Hydra's own (its ``hydra`` node)."""
    return {
        "config.yaml": OmegaConf.to_yaml(config),
        "hydra.yaml": OmegaConf.to_yaml(OmegaConf.masked_copy(hydra_config, ["runtime", "overrides", "job"])),
        "overrides.yaml": OmegaConf.to_yaml(hydra_config.overrides.task),
    }


def readable(error: Exception) -> str:
    """The message of a mistake of the user's, without what Hydra and OmegaConf say of their own objects."""
    text = str(error).strip()
    if isinstance(error, UserError):
        # torch hands on what a loader process raised as a traceback in words; the message is its end.
        return text.rsplit("UserError: ", 1)[-1] if "Original Traceback" in text else text
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return f"{error.filename}: {error.strerror}; make room, or give another place"
    if isinstance(error, OverrideParseException):
        reason = text.splitlines()[0]
        return f"{error.override}: cannot be read; put values with blanks or odd characters in quotes ({reason})"
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown:
        return f"{unknown.group(1)}: no such setting ({sys.argv[0]} --help lists all)"
    missing = re.search(r"Missing mandatory value: (\S+)", text)
    if missing:
        return f"{missing.group(1)} is missing: give {missing.group(1)}=…"
    where = re.search(r"full_key: (\S+)", text)
    place = f"{where.group(1)}: " if where else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    noise = ("full_key:", "object_type=", "provider=", "Config search path")
    return place + " ".join(line for line in lines if not line.startswith(noise))
