"""From a config group with a ``_target_`` to the object that it names.

Nested groups with a ``_target_`` are built too, ``_partial_: true`` gives a function that still wants arguments, as in
Hydra; Hydra's own ``instantiate`` knows neither ranges nor whose code may be run.
"""

import importlib
import inspect
import sys
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from segkit.config.check import SPECIAL, nested_targets, target_problems
from segkit.config.signature import inspected_signature, read_signature
from segkit.errors import UserError, did_you_mean

ROOMS = ("data", "losses", "metrics", "models", "optim", "road", "training")
TRUSTED = (
    *(f"segkit.{room}." for room in ROOMS),
    *("torch.nn.", "torch.optim.", "torchmetrics.", "pytorch_lightning.callbacks.", "pytorch_lightning.loggers."),
)
"""Where the classes lie that a file may name without the user's consent."""


def build(
    key: str,
    config: Mapping[str, Any],
    base: type | None = None,
    /,
    allowed: Collection[str] | None = None,
    kept: Path | None = None,
    **given: Any,
) -> Any:
    """Call ``config["_target_"]`` with the group's other keys as its arguments and ``given``.

    Args:
        key: the dotted key at which the group stands, for messages.
        config: the group, as plain dicts and lists.
        base: what the object has to be an instance of.
        allowed, kept: as for ``check_trust``; ``allowed=None`` for a config that the user has written.
        given: arguments that the program adds.

    Raises:
        UserError: no such class, or not ``base``'s; a key or a value that its signature does not take; code that the
            user has not named; arguments that the constructor refuses.
    """
    if allowed is not None:
        check_trust({key: config}, allowed, kept)
    target = import_class(config["_target_"], base, f"{key}._target_", allowed)
    signature = read_signature(config["_target_"]) or inspected_signature(target)
    if problems := target_problems(key, config, given, (), signature):
        raise UserError("\n".join(problems))
    arguments = {name: _built(f"{key}.{name}", value, allowed) for name, value in config.items() if name not in SPECIAL}
    if config.get("_partial_"):
        return partial(target, **arguments, **given)
    if inspect.isabstract(target):
        missing = " and ".join(sorted(target.__abstractmethods__))
        raise UserError(f"{key}._target_={config['_target_']}: has no {missing} yet, which its base class asks for")
    try:
        made = target(**arguments, **given)
    except (ValueError, TypeError) as error:
        if isinstance(error, TypeError) and "keyword argument" not in str(error):
            raise  # no matter of settings
        raise UserError(f"{key}: {config['_target_']} refuses its arguments: {error}") from error
    if base is not None and not isinstance(made, base):
        raise UserError(f"{key}._target_={config['_target_']}: gives no {base.__module__}.{base.__qualname__}")
    return made


def _built(key: str, value: Any, allowed: Collection[str] | None) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(key, value, allowed=allowed)
        return {name: _built(f"{key}.{name}", item, allowed) for name, item in value.items()}
    if isinstance(value, list):
        return [_built(f"{key}.{number}", item, allowed) for number, item in enumerate(value)]
    return value


def import_class(path: str, base: type | None, key: str, allowed: Collection[str] | None = None) -> Any:
    """The class, or the function that makes objects, at a dotted ``path``, looked for in the working folder too.

    Args:
        path: ``module.Class``.
        base: what a class has to be a subclass of.
        key: where ``path`` was given, for messages.
        allowed: as for ``check_trust``.

    Raises:
        UserError: there is none, or none below ``base``, or it is not to be trusted.
    """
    if allowed is not None and not _named(path, allowed):
        raise UserError(_refusal(key, path, None))
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        beside = dir(sys.modules[module]) if module in sys.modules else []
        near = did_you_mean(name, beside) or "; run from the folder that holds it"
        raise UserError(f"{key}={path}: no such class ({error}){near}") from error
    if base is not None and isinstance(found, type) and not issubclass(found, base):
        raise UserError(f"{key}={path}: is no subclass of {base.__module__}.{base.__qualname__}")
    if not callable(found):
        raise UserError(f"{key}={path}: is no class")
    # A module of segkit's holds what it imports too: a file may ask for its own classes, not for those functions.
    own = isinstance(found, type) and f"{found.__module__}.".startswith(TRUSTED)
    if allowed is not None and not (own or _below(path, allowed)):
        raise UserError(_refusal(key, path, None))
    return found


def check_trust(config: Mapping[str, Any], allowed: Collection[str], kept: Path | None = None) -> None:
    """Refuse code that a checkpoint or a run folder names and the user does not.

    Args:
        config: what the file holds.
        allowed: modules that the user has named (``trust=…``), or dotted paths; what lies below them is allowed too.
        kept: where the source lies that the run has kept of its own code.

    Raises:
        UserError: naming the module, where to read it, and how to allow it.
    """
    for key, group in nested_targets("", config):
        if not _named(str(group["_target_"]), allowed):
            raise UserError(_refusal(f"{key}._target_", str(group["_target_"]), kept))


def _named(path: str, allowed: Collection[str]) -> bool:
    return path.startswith(TRUSTED) or _below(path, allowed)


def _below(path: str, allowed: Collection[str]) -> bool:
    return any(f"{path}.".startswith(f"{name}.") for name in allowed)


def _refusal(key: str, path: str, kept: Path | None) -> str:
    module = path.rpartition(".")[0]
    read = f"its source as the run had it: {kept}" if kept is not None and kept.exists() else f"read {module} first"
    told = f"{key}={path}: code that a checkpoint or a run folder names is run only if you say so ({read})"
    return f"{told}\nAllow it with trust={module}"
