"""One checkpoint of several by averaging their weights: model soups (Wortsman et al. 2022, arXiv 2203.05482)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from segkit.errors import UserError
from segkit.models.trained import read_checkpoint, weights_of
from segkit.runs.identity import flat


def average_weights(paths: Sequence[Path], key: str) -> dict[str, Any]:
    """A checkpoint (:func:`segkit.models.trained.read_checkpoint`) whose weights are the mean of those of ``paths``.

    The mean is of weights and batch statistics alike; integers (how many batches were seen) are the first one's. That
    makes sense where training began with the same weights, so that a straight line between the results leads through
    good networks; not for runs of different random weights, whose channels mean different things.

    One checkpoint is in memory at a time, beside the mean.

    Args:
        paths: two or more.
        key: the setting that they come from, for errors.

    Returns:
        ``state_dict`` with the network's part alone, and ``segkit`` of the first checkpoint without epoch and scores,
        with the ``paths`` as ``averaged``.

    Raises:
        UserError: a checkpoint that cannot be read, or one of another network, classes or input than the first.
    """
    first = read_checkpoint(paths[0], key)
    mean = weights_of(first)
    for number, path in enumerate(paths[1:], start=2):
        other = read_checkpoint(path, key)
        if difference := _difference(first, other):
            raise UserError(f"{key}: {paths[0]} and {path} cannot be averaged, {difference}")
        for name, value in weights_of(other).items():
            if value.is_floating_point():
                mean[name] = mean[name].lerp(value, 1 / number)  # not in place: two names may share one tensor
    about = {name: first["segkit"][name] for name in ("version", "model", "classes", "input")}
    return {
        "state_dict": {f"network.{name}": value for name, value in mean.items()},
        "segkit": {**about, "averaged": [str(path) for path in paths]},
    }


def _difference(first: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The first thing in which two checkpoints are of different networks, in words; empty where there is none."""
    own, its = _about(first), _about(other)
    for key in dict.fromkeys([*own, *its]):
        if own.get(key) != its.get(key):
            return f"{key} is {_shown(own.get(key))} and {_shown(its.get(key))}"
    weights = weights_of(first), weights_of(other)
    for name in dict.fromkeys([*weights[0], *weights[1]]):
        kinds = [_kind(state.get(name)) for state in weights]
        if kinds[0] != kinds[1]:
            return f"{name} is {kinds[0]} and {kinds[1]}"
    return ""


def _about(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be the same, by dotted keys. Which weights an encoder began with does not have to."""
    entry = checkpoint["segkit"]
    model = {name: value for name, value in entry["model"].items() if name != "weights"}
    return flat(
        {"model": model, "classes": ", ".join(item["name"] for item in entry["classes"]), "input": entry["input"]}
    )


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)


def _kind(value: Tensor | None) -> str:
    return "missing" if value is None else f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
