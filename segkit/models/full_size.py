"""From a network's logits to a prediction at the picture's own size: one way, used by all."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from segkit.data.picture_input import PictureInput

Network = Callable[[Tensor], Tensor]
"""Pictures uint8 (B, 3, H, W) to logits (B, C, H, W)."""

TOGETHER = 8
"""Windows that the network is shown at once."""


def logits_at_size(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits of one picture (C, h, w) at its own ``size`` (height, width): float32 (C, H, W), bilinear.

    Sampling is at pixel centres (``align_corners=False``), the inverse of how pictures are shrunk.
    """
    return F.interpolate(logits[None].float(), size=size, mode="bilinear", align_corners=False)[0]


def to_confidence(probability: Tensor) -> Tensor:
    """Probabilities, float 0…1 of any shape, as the 8 bit of a confidence map: ``round(255 · p)``, uint8."""
    return (probability * 255).round().byte()


def full_size_logits(
    network: Network, images: Tensor | Sequence[Tensor], sizes: Sequence[tuple[int, int]], shown: PictureInput
) -> list[Tensor]:
    """Logits (C, H, W), float32, of each picture at its own size, whole or through the window.

    Args:
        network: see ``Network``.
        images: resized pictures, uint8 (B, 3, h, w), or B of (3, h, w) where they differ in size.
        sizes: the pictures' own (H, W).
        shown: how they come to the network.
    """
    logits: Iterable[Tensor]
    chosen: AbstractContextManager[None] = nullcontext()
    if isinstance(images, Tensor) and (shown.window == "whole" or images.shape[2:] == shown.image_shape):
        logits = network(images)
    elif shown.window == "whole":
        logits = (network(image[None])[0] for image in images)
        chosen = _convolutions_chosen_by_rule()
    else:
        logits = (sliding_window(network, image, shown.image_shape, shown.overlap) for image in images)
    with chosen:
        return [logits_at_size(one, size) for one, size in zip(logits, sizes, strict=True)]


@contextmanager
def _convolutions_chosen_by_rule() -> Iterator[None]:
    """Without cuDNN's trials of its algorithms, which take seconds for each new size: here each picture has another."""
    cudnn = torch.backends.cudnn
    before, cudnn.benchmark = cudnn.benchmark, False
    try:
        yield
    finally:
        cudnn.benchmark = before


def sliding_window(network: Network, image: Tensor, shape: tuple[int, int], overlap: float) -> Tensor:
    """Logits of a picture that is shown to the network through a window, blended where windows overlap.

    Windows lie on a regular grid from edge to edge. A window's logits weigh most in its middle and least at its edge,
    where the network sees one side alone; the weights fall linearly with the distance from the middle.

    Args:
        network: see ``Network``; of a picture smaller than the window it is shown the picture, padded with 0.
        image: uint8 (3, H, W).
        shape: (height, width) of the window.
        overlap: share of a window that it has in common with the next one at least, 0…0.9.

    Returns:
        float32 (C, H, W).
    """
    height, width = image.shape[1:]
    rows, columns = shape
    image = F.pad(image, (0, max(columns - width, 0), 0, max(rows - height, 0)))
    places = [
        (top, left)
        for top in _starts(image.shape[1], rows, overlap)
        for left in _starts(image.shape[2], columns, overlap)
    ]
    weight = ramp(rows, image.device)[:, None] * ramp(columns, image.device)
    total: Tensor | None = None
    weights = torch.zeros(image.shape[1:], device=image.device)
    for begin in range(0, len(places), TOGETHER):
        part = places[begin : begin + TOGETHER]
        windows = torch.stack([image[:, top : top + rows, left : left + columns] for top, left in part])
        logits = network(windows).float()
        if total is None:
            total = torch.zeros(logits.shape[1], *image.shape[1:], device=image.device)
        for (top, left), own in zip(part, logits, strict=True):
            place = ..., slice(top, top + rows), slice(left, left + columns)
            total[place] += own * weight
            weights[place] += weight
    assert total is not None
    return (total / weights)[:, :height, :width]


def _starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows begin: as few as have the overlap, evenly spread from the first pixel to the last."""
    if length == window:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    count = -(-(length - window) // step) + 1
    return [round(i * (length - window) / (count - 1)) for i in range(count)]


def ramp(length: int, device: torch.device) -> Tensor:
    """Weights that rise linearly from the edges to the middle, all above 0."""
    position = torch.arange(length, device=device)
    return torch.minimum(position + 1, length - position).float() / length
