"""Small arrays on their way to the device, without waiting for what it is doing."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def sent(array: NDArray, device: torch.device) -> Tensor:
    """The array on the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def sent_together(arrays: Mapping[str, NDArray], device: torch.device) -> dict[str, Tensor]:
    """Arrays (B, …) on the device as float32, in one piece."""
    flat = {name: array.reshape(len(array), -1) for name, array in arrays.items()}
    there = sent(np.concatenate(list(flat.values()), axis=1).astype(np.float32), device)
    parts = there.split([array.shape[1] for array in flat.values()], dim=1)
    return {name: part.reshape(array.shape) for part, (name, array) in zip(parts, arrays.items(), strict=True)}
