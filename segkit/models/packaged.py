"""A network in a folder of its own: ``model.safetensors`` holds its weights, ``config.json`` says how it is built."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from segkit.errors import UserError
from segkit.models.weights import read_tensors
from segkit.runs.files import write_whole
from segkit.runs.find import PACKAGED, PACKAGED_ENTRY
from segkit.runs.plain import read_json


def write_package(folder: Path, weights: Mapping[str, Tensor], entry: Mapping[str, Any]) -> None:
    """Write both files into ``folder``, which is there.

    Args:
        folder: where to.
        weights: by the network's own names.
        entry: plain values, the ``segkit`` entry of a checkpoint.
    """
    # A copy of each: safetensors refuses tensors that share their memory.
    content = save({name: value.detach().clone().contiguous() for name, value in weights.items()})
    write_whole(folder / PACKAGED, content)
    write_whole(folder / PACKAGED_ENTRY, json.dumps(dict(entry), indent=2).encode() + b"\n")


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Numbers as bfloat16, which halves their bytes; counts as they are."""
    return {name: value.bfloat16() if value.is_floating_point() else value for name, value in weights.items()}


def same_weights(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two networks compute with the same numbers, in however many bits these are kept."""
    return one.keys() == other.keys() and all(torch.equal(one[name].float(), other[name].float()) for name in one)


def read_package(weights: Path, key: str) -> dict[str, Any]:
    """A package in the form of a checkpoint: ``state_dict``, its numbers as float32, and ``segkit``.

    Args:
        weights: its ``model.safetensors``, whose ``config.json`` lies beside it.
        key: the setting that it comes from, for errors.

    Raises:
        UserError: one of the files is missing, damaged, or something else.
    """
    config = weights.with_name(PACKAGED_ENTRY)
    try:
        entry = read_json(config)
    except (OSError, UserError) as error:
        raise UserError(
            f"{key}: {config} cannot be read ({getattr(error, 'strerror', None) or error}); package the network again"
        ) from error
    if not isinstance(entry, dict) or not {"version", "model", "classes", "input"} <= entry.keys():
        raise UserError(f"{key}: {config} was not written by segkit package; give a folder that was")
    tensors = read_tensors(weights, key, "Package the network again.")
    state = {
        f"network.{name}": value.float() if value.is_floating_point() else value for name, value in tensors.items()
    }
    return {"state_dict": state, "segkit": entry}
