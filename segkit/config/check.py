"""Values held against types and ranges: those of a command's own settings, and those that a constructor's signature
names."""

import copy
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError

from segkit.config.names import keys_of, no_such_setting
from segkit.config.signature import Signature, read_signature
from segkit.errors import did_you_mean, printable

SPECIAL = {"_target_", "_partial_"}
"""Keys of a group that are for ``build`` itself."""


FOLDERS = ("data.root", "data.cache_dir")
"""Settings of which an empty text would be the working folder."""


class Strict(BaseModel):
    """Unknown keys are refused and values are taken as they are: ``"3"`` is not 3, ``true`` is not 1."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Loose(Strict):
    """For classes that take names which their signature does not tell."""

    model_config = ConfigDict(extra="allow")


def schema_problems(
    schema: type[BaseModel], config: Mapping[str, Any], above: str = "", known: Collection[str] = ()
) -> list[str]:
    """A line for each key that is wrong, saying its value and what would be right.

    Args:
        schema: what the values have to be.
        config: plain dicts and lists.
        above: the dotted key at which ``config`` stands, with a dot at its end.
        known: dotted keys that may have been meant by an unknown one.
    """
    return list(_lines(schema, config, above, known))


def _wrong(schema: type[BaseModel], config: Any) -> dict[str, list[Any]]:
    """What pydantic finds, by the place in ``config``."""
    wrong: dict[str, list[Any]] = {}
    try:
        # As JSON, because a list is then good for any sequence, and a text for a path.
        schema.model_validate_json(json.dumps(config, default=str))
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            wrong.setdefault(".".join(_place(problem, config)), []).append(problem)
    return wrong


def target_problems(
    key: str,
    config: Mapping[str, Any],
    given: Iterable[str] = (),
    known: Collection[str] = (),
    signature: Signature | None = None,
) -> list[str]:
    """A line for each argument of ``config["_target_"]`` that is wrong.

    Args:
        key: the dotted key at which ``config`` stands.
        given: arguments that the code adds.
        known: dotted keys that may have been meant by an unknown one.
        signature: of the target; None = as its source tells. Nothing is said where that does not tell either.
    """
    if not isinstance(config["_target_"], str) or "." not in config["_target_"]:
        return [f"{key}._target_={config['_target_']}: should be a class's dotted path, such as mine.Network"]
    signature = signature or read_signature(config["_target_"])
    if signature is None:
        return []
    given = set(given)
    twice = [f"{key}.{name}: is given by the program; leave it out" for name in given & config.keys()]
    fields: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        built = any(_holds_target(config.get(name)))  # that what it builds fits is for the constructor to say
        needed = parameter.required and name not in given and not config.get("_partial_")
        fields[name] = (Any if built else parameter.annotation, ... if needed else None)
    values = {name: value for name, value in config.items() if name not in SPECIAL and name not in given}
    known = [*known, *(f"{key}.{name}" for name in fields if name not in given)]
    return twice + schema_problems(_model(fields, signature.open), values, f"{key}.", known)


def impossible_values(key: str, value: Any) -> list[str]:
    """A line for each value that nothing could use: of more than 64 bits, with zero bytes, no folder."""
    if isinstance(value, Mapping):
        return [
            line
            for name, item in value.items()
            for line in impossible_values(f"{key}.{name}" if key else str(name), item)
        ]
    if isinstance(value, list):
        return [line for number, item in enumerate(value) for line in impossible_values(f"{key}.{number}", item)]
    if type(value) is int and not -(2**63) <= value < 2**63:
        return [f"{key}={value}: should be less than 2⁶³"]
    if key in FOLDERS and value == "":
        return [f"{key}= is empty: give a folder"]
    if isinstance(value, str) and "\0" in value:
        return [f"{key}={printable(value)}: should have no zero bytes"]
    return []


def nested_targets(key: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All groups in ``value`` that name a class, with their dotted keys, itself included."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield key, value
        for name, item in value.items():
            yield from nested_targets(f"{key}.{name}" if key else str(name), item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from nested_targets(f"{key}.{number}", item)


def _holds_target(value: Any) -> Iterator[bool]:
    yield from (True for _ in nested_targets("", value))


def _model(fields: dict[str, Any], loose: bool) -> type[BaseModel]:
    # Arguments may have any name, also those that pydantic keeps for itself.
    named: dict[str, Any] = {
        f"field{number}": _aliased(name, *field) for number, (name, field) in enumerate(fields.items())
    }
    base = _Loose if loose else Strict
    try:
        return create_model("Arguments", __base__=base, **named)
    except PydanticSchemaGenerationError:  # a type of the user's own, which its constructor knows best
        untyped: dict[str, Any] = {name: (Any, field[1]) for name, field in named.items()}
        return create_model("Arguments", __base__=base, **untyped)


def _aliased(name: str, annotation: Any, default: Any) -> Any:
    return (annotation, Field(alias=name) if default is ... else Field(default, alias=name))


def _lines(schema: type[BaseModel], config: Any, above: str, known: Collection[str]) -> Iterator[str]:
    wrong = _wrong(schema, config)
    for place, problems in wrong.items():
        if any(other.startswith(f"{place}.") for other in wrong):
            continue  # one of several types that would do; what is wrong inside of it says more
        key, kind = f"{above}{place}", problems[0]["type"]
        if kind == "missing":
            yield f"{key} is missing: give {key}=…"
        elif kind == "extra_forbidden":
            yield no_such_setting(key, [*known, *keys_of(config, above)])
        else:
            texts = [each["msg"].removeprefix("Value error, ").removeprefix("Input ") for each in problems]
            texts = [re.sub("^(Value|List) should", "should", text).partition(" after validation")[0] for text in texts]
            texts = list(dict.fromkeys(texts))
            if "should be a valid array" in texts:
                texts[texts.index("should be a valid array")] = f"should be a list{_example(schema, config, place)}"
            value = problems[0]["input"] if len(problems) == 1 else _value(config, place)
            names = [
                name for each in problems for name in re.findall("'([^']+)'", each.get("ctx", {}).get("expected", ""))
            ]
            yield (
                f"{key}={shown(value)}: "
                + " or ".join([texts[0], *(text.removeprefix("should ") for text in texts[1:])])
                + did_you_mean(value, names)
            )


def _example(schema: type[BaseModel], config: Any, place: str) -> str:
    """The value that stands at ``place`` as a list, where that would do, or would do with more beside it."""
    changed, value = copy.deepcopy(config), _value(config, place)
    *outer, last = place.split(".")
    inner = _value(changed, ".".join(outer)) if outer else changed
    inner[int(last) if isinstance(inner, list) else last] = [value]
    problems = [
        problem
        for where, found in _wrong(schema, changed).items()
        if f"{where}.".startswith(f"{place}.")
        for problem in found
    ]
    if not isinstance(value, str | int | float) or (
        problems and all(problem["type"] not in ("too_short", "missing") for problem in problems)
    ):
        return " in brackets, […]"
    return f", such as [{shown(value)}{',…' if problems else ''}]"


def _place(problem: Any, config: Any) -> list[str]:
    """The key that a problem is about: pydantic puts the members of unions in between."""
    place, value = [], config
    for part in problem["loc"]:
        inner = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(inner, Mapping) and part in inner:
            value = inner[part]
            place.append(str(part))
        elif problem["type"] == "missing" and part == problem["loc"][-1]:
            place.append(str(part))
    return place


def _value(config: Any, place: str) -> Any:
    for part in place.split("."):
        config = config[int(part)] if isinstance(config, list) else config[part]
    return config


def shown(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | None):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{shown(item)}" for key, item in value.items()) + "}"
    return str(value)
