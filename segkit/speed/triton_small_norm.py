"""Batch normalisation of small maps, each way in one kernel: launches would take longer than memory does.

A program takes all rows of some channels, twice: for its sums, and for what follows from them. Imported where a GPU is
used; `segkit.speed.triton_norm` is the same for large maps.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from segkit.speed.triton_kernels import relu as relu_of
from segkit.speed.triton_kernels import row_stride
from segkit.speed.triton_norm_sums import Statistics, keep_gradients, keep_moments

ROWS = 2048
"""Positions of a map up to which it is small."""

TILE = {"TILE": 1024, "LANES": 8, "num_warps": 16}
"""Rows and channels that a program takes at a time, and how many threads do."""


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
    _normalise_at_once[(triton.cdiv(channels, TILE["LANES"]),)](
        values, values if added is None else added, weight, bias, running_mean, running_var, batches,
        running_mean if offset is None else offset, found, result, values.numel() // channels, channels, momentum, eps,
        OFFSET=offset is not None, ADDED=added is not None, RELU=relu, **TILE,
    )  # fmt: skip
    return result, Statistics(*found)


@triton.jit(do_not_specialize=["rows"])
def _normalise_at_once(
    values, added, weight, bias, running_mean, running_var, batches, offset, found, result, rows, channels,
    momentum, eps,
    OFFSET: tl.constexpr, ADDED: tl.constexpr, RELU: tl.constexpr, TILE: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(0) * LANES + tl.arange(0, LANES)
    there = (channel < channels)[None]
    # Sums of what is left without the first row: squares of large means would hide small deviations.
    origin = tl.load(values + channel, mask=channel < channels, other=0).to(tl.float32)[None]
    total = tl.full((TILE, LANES), 0, tl.float32)
    squares = tl.full((TILE, LANES), 0, tl.float32)
    first = 0
    while first < rows:
        row = first + tl.arange(0, TILE)[:, None]
        inside = (row < rows) & there
        value = tl.load(values + row * channels + channel[None], mask=inside, other=0).to(tl.float32)
        value = tl.where(inside, value - origin, 0)
        total += value
        squares += value * value
        first += TILE
    scale, shift = keep_moments(
        tl.sum(total, 0), tl.sum(squares, 0), values, weight, bias, running_mean, running_var, batches, offset, found,
        rows, channel, channels, momentum, eps, OFFSET,
    )  # fmt: skip
    first = 0
    while first < rows:
        row = first + tl.arange(0, TILE)[:, None]
        inside, at = (row < rows) & there, row * channels + channel[None]
        value = tl.load(values + at, mask=inside, other=0).to(tl.float32) * scale[None] + shift[None]
        if ADDED:
            value += tl.load(added + at, mask=inside, other=0).to(tl.float32)
        if RELU:
            value = relu_of(value)
        tl.store(result + at, value.to(result.dtype.element_ty), mask=inside)
        first += TILE


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
    passed = 0 if not relu else 1 if result is None else 2
    _normalise_backward_at_once[(triton.cdiv(channels, TILE["LANES"]),)](
        gradient, row_stride(gradient), values if other is None else other, values,
        values if result is None else result, values if added is None else added, weight, *found, sums, before,
        values.numel() // channels, channels, OTHER=other is not None, PASSED=passed, **TILE,
    )  # fmt: skip
    return before, sums[0], sums[1], added


@triton.jit
def _passed_on(
    gradient, apart, other, value, result, scale, shift, row, channel, channels, inside,
    OTHER: tl.constexpr, PASSED: tl.constexpr,
):  # fmt: skip
    """The gradient (TILE, LANES) before the ReLU."""
    at = row * channels + channel
    given = tl.load(gradient + row * apart + channel, mask=inside, other=0).to(tl.float32)
    if OTHER:
        given += tl.load(other + at, mask=inside, other=0).to(tl.float32)
    if PASSED == 1:
        given = tl.where(value * scale + shift > 0, given, 0)
    if PASSED == 2:
        given = tl.where(tl.load(result + at, mask=inside, other=0) > 0, given, 0)
    return given


@triton.jit(do_not_specialize=["rows"])
def _normalise_backward_at_once(
    gradient, apart, other, values, result, added, weight, mean, deviation, scale, shift, sums, before, rows, channels,
    OTHER: tl.constexpr, PASSED: tl.constexpr, TILE: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    channel, there = lane[None], (lane < channels)[None]
    centre = tl.load(mean + channel, mask=there, other=0)
    factor, term = tl.load(scale + channel, mask=there, other=0), tl.load(shift + channel, mask=there, other=0)
    total = tl.full((TILE, LANES), 0, tl.float32)
    products = tl.full((TILE, LANES), 0, tl.float32)
    first = 0
    while first < rows:
        row = first + tl.arange(0, TILE)[:, None]
        inside = (row < rows) & there
        value = tl.load(values + row * channels + channel, mask=inside, other=0).to(tl.float32)
        given = _passed_on(
            gradient, apart, other, value, result, factor, term, row, channel, channels, inside, OTHER, PASSED
        )
        total += given
        products += given * (value - centre)
        first += TILE
    one, two, rest = keep_gradients(
        tl.sum(total, 0), tl.sum(products, 0), weight, mean, deviation, sums, rows, lane, channels
    )
    first = 0
    while first < rows:
        row = first + tl.arange(0, TILE)[:, None]
        inside, at = (row < rows) & there, row * channels + channel
        value = tl.load(values + at, mask=inside, other=0).to(tl.float32)
        given = _passed_on(
            gradient, apart, other, value, result, factor, term, row, channel, channels, inside, OTHER, PASSED
        )
        if PASSED == 2:
            tl.store(added + at, given.to(added.dtype.element_ty), mask=inside)
        found = one[None] * given + two[None] * value + rest[None]
        tl.store(before + at, found.to(before.dtype.element_ty), mask=inside)
        first += TILE
