"""From a config group with a ``_target_`` to the object that it names."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from segkit.errors import UserError


def import_class(path: str, key: str) -> Any:
    """The class at a dotted ``path``. Raises UserError naming ``key`` when there is none."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{key}={path}: no such class ({error})") from error


def build(group: str, config: Mapping[str, Any], **given: Any) -> Any:
    """Call ``config["_target_"]`` with the group's other keys as its arguments, and with ``given``.

    Raises:
        UserError: no such class, a key that its constructor does not take, or one that it needs and is not there.
    """
    target = import_class(config["_target_"], f"{group}._target_")
    arguments = {key: value for key, value in config.items() if key != "_target_"} | given
    try:
        inspect.signature(target).bind(**arguments)
    except TypeError as error:
        raise UserError(f"{group}: {config['_target_']} {error}") from error
    return target(**arguments)
