"""From a config group with a ``_target_`` to the object that it names."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from segkit.config.schema import validate_inherited
from segkit.errors import UserError


def import_subclass(path: str, base: type, key: str) -> Any:
    """The class at a dotted ``path``. Raises UserError naming ``key`` when there is none, or none below ``base``."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{key}={path}: no such class ({error}); run from the folder that holds it") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UserError(f"{key}={path}: is no subclass of {base.__module__}.{base.__qualname__}")
    return found


def build(group: str, base: type, config: Mapping[str, Any], **given: Any) -> Any:
    """Call ``config["_target_"]``, a subclass of ``base``, with the group's other keys as its arguments and ``given``.

    Raises:
        UserError: no such class, a value that a class above it refuses, a key that its constructor does not take, or
            one that it needs and is not there.
    """
    target = import_subclass(config["_target_"], base, f"{group}._target_")
    validate_inherited(group, config, target)
    arguments = {key: value for key, value in config.items() if key != "_target_"} | given
    try:
        inspect.signature(target).bind(**arguments)
    except TypeError as error:
        raise UserError(f"{group}: {config['_target_']} {error}") from error
    return target(**arguments)
