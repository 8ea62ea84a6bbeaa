"""The cross-entropy of each pixel on a GPU, in one pass each way, in Triton. Imported where a GPU is used.

Torch's takes five: two for the logarithm of the softmax, which it keeps, two to pick a class's, one to fill with 0.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

VALUES = 2048
"""Logits that a program takes at a time."""


def cross_entropy(logits: Tensor, label: Tensor, ignored: int) -> Tensor:
    """-ln of the probability of each pixel's class: float32 (B, H, W).

    Args:
        logits: float32 (B, C, H, W), in any order in memory.
        label: int64 (B, H, W): a class, or ``ignored``, where loss and gradient are 0 whatever the logits. Of other
            values the loss is no number.
    """
    losses = torch.empty(label.shape, device=logits.device)
    _cross_entropy[_grid(logits)](logits, label.contiguous(), losses, *_places(logits), ignored, **_tile(logits))
    return losses


def cross_entropy_backward(gradient: Tensor, logits: Tensor, label: Tensor, ignored: int) -> Tensor:
    """The gradient of `cross_entropy` with respect to the logits, in their order in memory."""
    result = torch.empty_like(logits)
    _cross_entropy_backward[_grid(logits)](
        gradient.contiguous(), logits, label.contiguous(), result, *result.stride(), *_places(logits), ignored,
        **_tile(logits),
    )  # fmt: skip
    return result


def _tile(logits: Tensor) -> dict[str, int]:
    width = triton.next_power_of_2(logits.shape[1])
    return {"TILE": max(1, VALUES // width), "WIDTH": width}


def _grid(logits: Tensor) -> tuple[int]:
    return (triton.cdiv(logits.numel() // logits.shape[1], _tile(logits)["TILE"]),)


def _places(logits: Tensor) -> tuple[int, ...]:
    """How the kernels find a logit: number of pixels, sizes, strides."""
    batch, classes, height, width = logits.shape
    return batch * height * width, classes, height, width, *logits.stride()


@triton.jit
def _offset(pixel, channel, height, width, per_picture, per_class, per_row, per_column):
    picture, row, column = pixel // (height * width), pixel // width % height, pixel % width
    at = picture.to(tl.int64) * per_picture + row.to(tl.int64) * per_row + column * per_column
    return at + channel * per_class


@triton.jit
def _shifted(logits, place, channel, pixels, classes, height, width, per_picture, per_class, per_row, per_column):
    """Logits of some pixels, less the largest of each, which exponentials neither overflow of nor lose digits by."""
    pixel = place[:, None]
    at = _offset(pixel, channel, height, width, per_picture, per_class, per_row, per_column)
    value = tl.load(logits + at, mask=(pixel < pixels) & (channel < classes), other=0)
    value = tl.where(channel < classes, value, -float("inf"))
    return value - tl.max(value, 1)[:, None]


@triton.jit(do_not_specialize=["pixels", "height", "width", "ignored"])
def _cross_entropy(
    logits, label, losses, pixels, classes, height, width, per_picture, per_class, per_row, per_column, ignored,
    TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    channel = tl.arange(0, WIDTH)[None]
    value = _shifted(
        logits, place, channel, pixels, classes, height, width, per_picture, per_class, per_row, per_column
    )
    total = tl.log(tl.sum(tl.exp(value), 1))
    chosen = tl.load(label + place, mask=place < pixels, other=0)
    of_class = tl.sum(tl.where(channel == chosen[:, None], value, 0), 1)
    known = (chosen >= 0) & (chosen < classes)
    loss = tl.where(chosen == ignored, 0.0, tl.where(known, total - of_class, float("nan")))
    tl.store(losses + place, loss, mask=place < pixels)


@triton.jit(do_not_specialize=["pixels", "height", "width", "ignored"])
def _cross_entropy_backward(
    gradient, logits, label, result, to_picture, to_class, to_row, to_column,
    pixels, classes, height, width, per_picture, per_class, per_row, per_column, ignored,
    TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    channel = tl.arange(0, WIDTH)[None]
    value = _shifted(
        logits, place, channel, pixels, classes, height, width, per_picture, per_class, per_row, per_column
    )
    share = tl.exp(value)
    share /= tl.sum(share, 1)[:, None]
    chosen = tl.load(label + place, mask=place < pixels, other=0)[:, None]
    given = tl.load(gradient + place, mask=place < pixels, other=0)[:, None]
    found = given * (share - tl.where(channel == chosen, 1.0, 0.0))
    found = tl.where(chosen == ignored, 0.0, found)
    at = _offset(place[:, None], channel, height, width, to_picture, to_class, to_row, to_column)
    tl.store(result + at, found, mask=(place[:, None] < pixels) & (channel < classes))
