"""A sliding window within a graph: :func:`segkit.models.full_size.sliding_window` for pictures of any size."""

import torch
from torch import Tensor
from torch.nn import functional as F

from segkit.models.full_size import Network, ramp


def windowed_logits(network: Network, image: Tensor, shape: tuple[int, int], overlap: float) -> Tensor:
    """Logits of pictures that are shown to the network through a window, blended where windows overlap.

    How many windows there are is decided when the graph runs. All of them are one batch, so that memory grows with the
    picture.

    Args:
        network: see `segkit.models.full_size.Network`.
        image: uint8 (N, 3, H, W).
        shape: (height, width) of the window.
        overlap: share of a window that it has in common with the next one at least, 0…0.9.

    Returns:
        float32 (N, C, H, W).
    """
    height, width = image.shape[-2:]
    rows, columns = shape
    image = F.pad(image, (0, torch.sym_max(columns - width, 0), 0, torch.sym_max(rows - height, 0)))
    full = image.shape[-2:]
    down, across = (_places(length, window, overlap, image) for length, window in zip(full, shape, strict=True))
    ramps = ramp(rows, image.device), ramp(columns, image.device)
    windows = image[:, :, down][..., across].permute(0, 2, 4, 1, 3, 5)  # (N, down, across, 3, rows, columns)
    logits = network(windows.flatten(0, 2)).float() * ramps[0][:, None] * ramps[1]
    grid = logits.unflatten(0, windows.shape[:3]).permute(0, 3, 1, 4, 2, 5)  # (N, C, down, rows, across, columns)
    strips = _added_up(grid, across, full[1]).permute(0, 1, 4, 2, 3)
    total = _added_up(strips, down, full[0]).transpose(2, 3)
    # Weights are products of one for the row and one for the column, and so are their sums.
    weights = [
        _added_up(own.expand_as(places), places, length)
        for own, places, length in zip(ramps, (down, across), full, strict=True)
    ]
    return (total / (weights[0][:, None] * weights[1]))[..., :height, :width]


def _places(length: int, window: int, overlap: float, like: Tensor) -> Tensor:
    """The cells of each window, int64 (count, window): as few windows as have the overlap, evenly spread."""
    step = max(1, int(window * (1 - overlap)))
    count = (length - window + step - 1) // step + 1
    starts = torch.arange(count, dtype=torch.float64, device=like.device) * (length - window)
    starts = (starts / torch.sym_max(count - 1, 1)).round().long()
    return starts[:, None] + torch.arange(window, device=like.device)


def _added_up(parts: Tensor, places: Tensor, length: int) -> Tensor:
    """What lies in windows (…, count, window), at its ``places`` along (…, length)."""
    values = parts.flatten(-2)
    return values.new_zeros([*values.shape[:-1], length]).scatter_add(-1, places.flatten().expand_as(values), values)
