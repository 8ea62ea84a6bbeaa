"""Batch normalisation of small maps, each way in one kernel: launches would take longer than memory does.

A program holds all rows of some channels, from which it has their sums and what follows from them. Imported where a GPU
is used; `segkit.speed.triton_norm` is the same for large maps.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from segkit.speed.triton_kernels import relu as relu_of
from segkit.speed.triton_kernels import row_stride
from segkit.speed.triton_norm_sums import Statistics, keep_gradients, keep_moments, passed

ROWS = 2048
"""Positions of a map up to which it is small."""

LANES = 8
"""Channels of a program."""


def _tile(values: Tensor) -> tuple[tuple[int], dict[str, int]]:
    """How many programs there are; their rows and channels, and how many threads take them."""
    channels = values.shape[1]
    rows = max(128, triton.next_power_of_2(values.numel() // channels))
    return (triton.cdiv(channels, LANES),), {"TILE": rows, "LANES": LANES, "num_warps": 16 if rows > 512 else 8}


def normalise_at_once(
    values: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    batches: Tensor,
    offset: Tensor | None,
    momentum: float,
    eps: float,
    added: Tensor | None,
    relu: bool,
) -> tuple[Tensor, Statistics]:
    """`triton_norm.normalise` of the batch's `triton_norm.statistics`, and these."""
    channels = values.shape[1]
    result, found = torch.empty_like(values), torch.empty(4, channels, device=values.device)
    grid, tile = _tile(values)
    _normalise_at_once[grid](
        values, values if added is None else added, weight, bias, running_mean, running_var, batches,
        running_mean if offset is None else offset, found, result, values.numel() // channels, channels, momentum, eps,
        OFFSET=offset is not None, ADDED=added is not None, RELU=relu, **tile,
    )  # fmt: skip
    return result, Statistics(*found)


@triton.jit(do_not_specialize=["rows"])
def _normalise_at_once(
    values, added, weight, bias, running_mean, running_var, batches, offset, found, result, rows, channels,
    momentum, eps,
    OFFSET: tl.constexpr, ADDED: tl.constexpr, RELU: tl.constexpr, TILE: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(0) * LANES + tl.arange(0, LANES)
    row = tl.arange(0, TILE)[:, None]
    inside, at = (row < rows) & (channel < channels)[None], row * channels + channel[None]
    value = tl.load(values + at, mask=inside, other=0).to(tl.float32)
    # Sums of what is left without the first row: squares of large means would hide small deviations.
    origin = tl.load(values + channel, mask=channel < channels, other=0).to(tl.float32)
    apart = tl.where(inside, value - origin[None], 0)
    scale, shift = keep_moments(
        tl.sum(apart, 0), tl.sum(apart * apart, 0), values, weight, bias, running_mean, running_var, batches, offset,
        found, rows, channel, channels, momentum, eps, OFFSET,
    )  # fmt: skip
    value = value * scale[None] + shift[None]
    if ADDED:
        value += tl.load(added + at, mask=inside, other=0).to(tl.float32)
    if RELU:
        value = relu_of(value)
    tl.store(result + at, value.to(result.dtype.element_ty), mask=inside)


def normalise_backward_at_once(
    gradient: Tensor,
    other: Tensor | None,
    values: Tensor,
    result: Tensor | None,
    weight: Tensor,
    found: Statistics,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """As `triton_norm.normalise_backward`."""
    channels = values.shape[1]
    before, sums = torch.empty_like(values), torch.empty(2, channels, device=values.device)
    added = None if result is None else torch.empty_like(values)
    grid, tile = _tile(values)
    _normalise_backward_at_once[grid](
        gradient, row_stride(gradient), values if other is None else other, values,
        values if result is None else result, values if added is None else added, weight, *found, sums, before,
        values.numel() // channels, channels, OTHER=other is not None, PASSED=passed(relu, result), **tile,
    )  # fmt: skip
    return before, sums[0], sums[1], added


@triton.jit(do_not_specialize=["rows"])
def _normalise_backward_at_once(
    gradient, apart, other, values, result, added, weight, mean, deviation, scale, shift, sums, before, rows, channels,
    OTHER: tl.constexpr, PASSED: tl.constexpr, TILE: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    row, channel, there = tl.arange(0, TILE)[:, None], lane[None], (lane < channels)[None]
    inside, at = (row < rows) & there, row * channels + channel
    value = tl.load(values + at, mask=inside, other=0).to(tl.float32)
    given = tl.load(gradient + row * apart + channel, mask=inside, other=0).to(tl.float32)
    if OTHER:
        given += tl.load(other + at, mask=inside, other=0).to(tl.float32)
    if PASSED == 1:
        factor, term = tl.load(scale + channel, mask=there, other=0), tl.load(shift + channel, mask=there, other=0)
        given = tl.where(value * factor + term > 0, given, 0)
    if PASSED == 2:
        given = tl.where(tl.load(result + at, mask=inside, other=0) > 0, given, 0)
        tl.store(added + at, given.to(added.dtype.element_ty), mask=inside)
    products = tl.where(inside, given * (value - tl.load(mean + channel, mask=there, other=0)), 0)
    one, two, rest = keep_gradients(
        tl.sum(given, 0), tl.sum(products, 0), weight, mean, deviation, sums, rows, lane, channels
    )
    found = one[None] * given + two[None] * value + rest[None]
    tl.store(before + at, found.to(before.dtype.element_ty), mask=inside)
