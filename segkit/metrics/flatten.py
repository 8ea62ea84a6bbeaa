"""Metrics of any shape as named numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch


def flatten_scores(values: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, float]:
    """What metrics have computed, by the names under which it is logged.

    A scalar keeps its name. A vector with an element per class becomes ``<name>/<class>``, any other sequence
    ``<name>/<index>``, a mapping ``<name>/<key>``; matrices and nested mappings go on in the same way.

    Args:
        values: numbers, tensors, sequences or mappings of these, by the metrics' names.
        class_names: of the classes, in their order.
    """
    scores: dict[str, float] = {}
    for name, value in values.items():
        if (isinstance(value, torch.Tensor) and value.ndim == 0) or isinstance(value, int | float):
            scores[name] = float(value)
            continue
        if not isinstance(value, Mapping):
            keys = class_names if len(value) == len(class_names) else range(len(value))
            value = dict(zip(keys, value, strict=True))
        scores |= flatten_scores({f"{name}/{key}": item for key, item in value.items()}, class_names)
    return scores
