"""What the ``segkit`` entry of a checkpoint may hold: the types and ranges of settings, checked before it is used."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le, Len
from pydantic import ConfigDict
from torch import Tensor

from segkit.config.check import Strict, nested_targets, schema_problems, target_problems
from segkit.data.picture_input import Overlap, Resized, Shape
from segkit.errors import printable
from segkit.runs.plain import checked

Level = Annotated[int, Ge(0), Le(255)]
Epoch = Annotated[int, Ge(0), Le(10**9)]
LONGEST = 300
"""Characters of a line about a field: it may hold anything."""


class ClassEntry(Strict):
    name: Annotated[str, Len(1, 100)]
    colour: Annotated[list[Level], Len(3, 3)] | None
    background: bool


class InputEntry(Strict):
    image_shape: Shape
    resize: Resized
    window: Literal["sliding", "whole"]
    overlap: Overlap


class Entry(Strict):
    """Labels have 8 bits, and 255 is not scored."""

    model_config = ConfigDict(extra="allow")

    version: int
    model: dict[str, Any]
    classes: Annotated[list[ClassEntry], Len(1, 255)]
    input: InputEntry
    epoch: Epoch | None = None
    scores: dict[str, float | None] | None = None


def entry_problem(entry: Mapping[str, Any]) -> str:
    """What is wrong with an entry, in one line; empty where it is in order."""
    try:
        checked(entry)
    except ValueError as error:
        return str(error)
    # A score that does not exist may be NaN.
    known = {key: value for key, value in entry.items() if key in Entry.model_fields and key != "scores"}
    problems = schema_problems(Entry, known | {"scores": None})
    if not problems and "_target_" not in entry["model"]:
        problems = ["model._target_ is missing"]
    if not problems:
        for key, group in nested_targets("model", entry["model"]):
            if not str(group["_target_"]).startswith("segkit."):
                continue  # of the user's own classes there may be another version here than the run's
            problems += target_problems(key, group, {"num_classes", "channels", "strides"} - group.keys())
    names = [item["name"] for item in entry["classes"]] if not problems else []
    problems += [f"classes: {name!r} is no line of text" for name in names if not name.isprintable()]
    return printable(problems[0])[:LONGEST] if problems else ""


def weights_problem(state: Any) -> str:
    """What is wrong with a state dict, in one line; empty where it is in order."""
    if not isinstance(state, Mapping) or not state:
        return "state_dict holds no weights"
    for name, value in state.items():
        if isinstance(name, str) and name.endswith("_extra_state"):
            continue  # what a module keeps beside its tensors
        if not isinstance(name, str) or not isinstance(value, Tensor):
            return f"state_dict: {printable(name)[:LONGEST]} is no tensor with a name"
        if problem := _problem(value) or _diverged(name, value):
            return f"state_dict: {printable(name)[:LONGEST]} {problem}"
    return ""


def _problem(value: Tensor) -> str:
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.dtype.is_complex:
        return "is no dense tensor of real numbers"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"says to be of size {tuple(value.shape)}, and holds less than that"
    return ""


def _diverged(name: str, value: Tensor) -> str:
    """Masks of attention may hold what is infinite, and what is not the network's is its own business."""
    if not name.startswith("network.") or not value.is_floating_point() or not value.numel():
        return ""
    low, high = value.aminmax()
    if torch.isnan(low) or ("mask" not in name and not (torch.isfinite(low) and torch.isfinite(high))):
        return "holds values that are not finite: training had diverged"
    return ""
