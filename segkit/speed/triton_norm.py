"""Batch normalisation's GPU kernels, in Triton, with what stands around it: a sum, ReLU. Imported where a GPU is used.

A map (B, C, H, W) in channels-last memory is rows of C values, one row for each position. Statistics and their
gradients are sums over all rows: each of some programs sums up its own rows in float32, and one kernel adds the
programs' sums in the same order every time. What is computed is :func:`torch.nn.functional.batch_norm`'s (Ioffe and
Szegedy 2015), in fewer passes: forward reads a map twice and writes once, backward reads map and gradient twice.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from segkit.speed.triton_kernels import WIDTH, place, row_stride, tiles
from segkit.speed.triton_kernels import relu as relu_of
from segkit.speed.triton_norm_sums import Statistics, keep_gradients, keep_moments, passed

PROGRAMS = 528
"""Programs of a kernel that leaves partial sums: four for each multiprocessor of an H200, and always as many."""

WIDEST = 2 * WIDTH
"""Channels of a tile where nothing is added up: more of a row is read at once, and there are programs enough."""

SUMS = {"TILE": 512, "LANES": 8, "num_warps": 8}
"""Programs and channels that a program takes at a time which adds up partial sums, and how many threads do."""


def statistics(
    values: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    batches: Tensor,
    offset: Tensor | None,
    momentum: float,
    eps: float,
) -> Statistics:
    """Mean and deviation of a batch; the running ones and the count of batches are brought up to date.

    Args:
        values: (B, C, H, W) in channels-last memory.
        weight, bias, running_mean, running_var: float32 (C,).
        batches: int64 scalar, one more afterwards.
        offset: (C,), what is still to be added to the values: it changes the running mean alone. None = nothing.
        momentum: the share of this batch in the running ones.
        eps: added to the variance.
    """
    channels = values.shape[1]
    rows = values.numel() // channels
    grid, tile, partial = _partial_sums(values)
    programs = grid[0]
    _moments[grid](values, partial, rows, channels, programs, num_warps=8, **tile)
    found = torch.empty(4, channels, device=values.device)
    _finish_moments[(triton.cdiv(channels, SUMS["LANES"]),)](
        values, partial, weight, bias, running_mean, running_var, batches, running_mean if offset is None else offset,
        found, rows, channels, programs, momentum, eps, OFFSET=offset is not None, **SUMS,
    )  # fmt: skip
    return Statistics(*found)


def _partial_sums(values: Tensor) -> tuple[tuple[int, int], dict[str, int], Tensor]:
    """How many programs go through the rows, and how many through the channels; the tile; room for their two sums."""
    (down, across), tile = tiles(values)
    programs = min(max(1, PROGRAMS // across), down)
    return (programs, across), tile, torch.empty(2, programs, values.shape[1], device=values.device)


@triton.jit(do_not_specialize=["rows", "programs"])
def _moments(values, partial, rows, channels, programs, TILE: tl.constexpr, WIDTH: tl.constexpr):
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)[None]
    # Sums of what is left without the first row: squares of large means would hide small deviations.
    origin = tl.load(values + channel, mask=channel < channels, other=0).to(tl.float32)
    total = tl.full((TILE, WIDTH), 0, tl.float32)
    squares = tl.full((TILE, WIDTH), 0, tl.float32)
    first = tl.program_id(0) * TILE
    while first < rows:
        row = first + tl.arange(0, TILE)[:, None]
        inside = (row < rows) & (channel < channels)
        value = tl.load(values + row.to(tl.int64) * channels + channel, mask=inside, other=0).to(tl.float32)
        value = tl.where(inside, value - origin, 0)
        total += value
        squares += value * value
        first += programs * TILE
    _store_sums(partial, total, squares, channels, programs, WIDTH)


@triton.jit
def _store_sums(partial, one, other, channels, programs, WIDTH: tl.constexpr):
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    at = partial + tl.program_id(0) * channels + channel
    tl.store(at, tl.sum(one, 0), mask=channel < channels)
    tl.store(at + programs * channels, tl.sum(other, 0), mask=channel < channels)


@triton.jit
def _add_up(partial, channel, channels, programs, TILE: tl.constexpr, LANES: tl.constexpr):
    """The sums (LANES,) of all programs' first and second sums, for some channels (LANES,)."""
    one = tl.full((TILE, LANES), 0, tl.float32)
    other = tl.full((TILE, LANES), 0, tl.float32)
    first = 0
    while first < programs:
        program = first + tl.arange(0, TILE)[:, None]
        inside = (program < programs) & (channel[None] < channels)
        at = partial + program * channels + channel[None]
        one += tl.load(at, mask=inside, other=0)
        other += tl.load(at + programs * channels, mask=inside, other=0)
        first += TILE
    return tl.sum(one, 0), tl.sum(other, 0)


@triton.jit(do_not_specialize=["rows", "programs"])
def _finish_moments(
    values, partial, weight, bias, running_mean, running_var, batches, offset, found, rows, channels, programs,
    momentum, eps, OFFSET: tl.constexpr, TILE: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(0) * LANES + tl.arange(0, LANES)
    total, squares = _add_up(partial, channel, channels, programs, TILE, LANES)
    keep_moments(
        total, squares, values, weight, bias, running_mean, running_var, batches, offset, found, rows, channel,
        channels, momentum, eps, OFFSET,
    )  # fmt: skip


def normalise(values: Tensor, found: Statistics, added: Tensor | None, relu: bool) -> Tensor:
    """``values · scale + shift``, plus ``added`` of the same shape, and the ReLU of that."""
    result = torch.empty_like(values)
    channels = values.shape[1]
    grid, tile = tiles(values, widest=WIDEST)
    _normalise[grid](
        values, values if added is None else added, found.scale, found.shift, result, values.numel() // channels,
        channels, ADDED=added is not None, RELU=relu, num_warps=8, **tile,
    )  # fmt: skip
    return result


@triton.jit(do_not_specialize=["rows"])
def _normalise(
    values, added, scale, shift, result, rows, channels,
    ADDED: tl.constexpr, RELU: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row, channel, inside = place(rows, channels, TILE, WIDTH)
    at, there = row.to(tl.int64) * channels + channel, channel < channels
    value = tl.load(values + at, mask=inside, other=0).to(tl.float32)
    value = value * tl.load(scale + channel, mask=there, other=0) + tl.load(shift + channel, mask=there, other=0)
    if ADDED:
        value += tl.load(added + at, mask=inside, other=0).to(tl.float32)
    if RELU:
        value = relu_of(value)
    tl.store(result + at, value.to(result.dtype.element_ty), mask=inside)


def normalise_backward(
    gradient: Tensor,
    other: Tensor | None,
    values: Tensor,
    result: Tensor | None,
    weight: Tensor,
    found: Statistics,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Gradients of `normalise` of a batch's own statistics.

    Args:
        gradient: with respect to the result; its rows may lie further apart than their length (`row_stride`).
        other: a second one that is added to it, where there is a ``result``.
        values: what was normalised, with the statistics ``found``; in channels-last memory as all other maps here.
        result: where something was added before the ReLU: what came of it.
        weight: float32 (C,).
        relu: whether there was one.

    Returns:
        Those of values, weight and bias, and where there is a ``result`` that of what was added.
    """
    channels = values.shape[1]
    rows = values.numel() // channels
    grid, tile, partial = _partial_sums(values)
    programs = grid[0]
    added = None if result is None else torch.empty_like(values)
    seen = passed(relu, result)  # other maps are not looked at
    apart = row_stride(gradient)
    _sum_gradients[grid](
        gradient, apart, values if other is None else other, values, values if result is None else result,
        values if added is None else added, found.mean, found.scale, found.shift, partial, rows, channels, programs,
        OTHER=other is not None, PASSED=seen, num_warps=8, **tile,
    )  # fmt: skip
    sums, factors = torch.empty(2, channels, device=values.device), torch.empty(3, channels, device=values.device)
    _finish_gradients[(triton.cdiv(channels, SUMS["LANES"]),)](
        partial, weight, found.mean, found.deviation, sums, factors, rows, channels, programs, **SUMS
    )
    before = torch.empty_like(values)
    grid, tile = tiles(values, widest=WIDEST)
    _gradient_before[grid](
        gradient if added is None else added, apart if added is None else channels,
        values, found.scale, found.shift, factors, before, rows, channels,
        MASKED=seen == 1, num_warps=8, **tile,
    )  # fmt: skip
    return before, sums[0], sums[1], added


@triton.jit(do_not_specialize=["rows", "programs"])
def _sum_gradients(
    gradient, apart, other, values, result, added, mean, scale, shift, partial, rows, channels, programs,
    OTHER: tl.constexpr, PASSED: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)[None]
    there = channel < channels
    centre = tl.load(mean + channel, mask=there, other=0)
    if PASSED == 1:
        factor = tl.load(scale + channel, mask=there, other=0)
        term = tl.load(shift + channel, mask=there, other=0)
    total = tl.full((TILE, WIDTH), 0, tl.float32)
    products = tl.full((TILE, WIDTH), 0, tl.float32)
    first = tl.program_id(0) * TILE
    while first < rows:
        row = first + tl.arange(0, TILE)[:, None]
        at = row.to(tl.int64) * channels + channel
        inside = (row < rows) & there
        value = tl.load(values + at, mask=inside, other=0).to(tl.float32)
        given = tl.load(gradient + row.to(tl.int64) * apart + channel, mask=inside, other=0)
        if OTHER:
            given = given.to(tl.float32) + tl.load(other + at, mask=inside, other=0).to(tl.float32)
        if PASSED == 1:
            given = tl.where(value * factor + term > 0, given, 0)
        if PASSED == 2:
            given = tl.where(tl.load(result + at, mask=inside, other=0) > 0, given, 0)
            tl.store(added + at, given, mask=inside)
        given = given.to(tl.float32)
        total += given
        products += given * (value - centre)
        first += programs * TILE
    _store_sums(partial, total, products, channels, programs, WIDTH)


@triton.jit(do_not_specialize=["rows", "programs"])
def _finish_gradients(
    partial, weight, mean, deviation, sums, factors, rows, channels, programs, TILE: tl.constexpr, LANES: tl.constexpr
):
    channel = tl.program_id(0) * LANES + tl.arange(0, LANES)
    total, products = _add_up(partial, channel, channels, programs, TILE, LANES)
    one, other, rest = keep_gradients(total, products, weight, mean, deviation, sums, rows, channel, channels)
    there = channel < channels
    tl.store(factors + channel, one, mask=there)
    tl.store(factors + channels + channel, other, mask=there)
    tl.store(factors + 2 * channels + channel, rest, mask=there)


@triton.jit(do_not_specialize=["rows"])
def _gradient_before(
    gradient, apart, values, scale, shift, factors, before, rows, channels,
    MASKED: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row, channel, inside = place(rows, channels, TILE, WIDTH)
    at, there = row.to(tl.int64) * channels + channel, channel < channels
    value = tl.load(values + at, mask=inside, other=0).to(tl.float32)
    given = tl.load(gradient + row.to(tl.int64) * apart + channel, mask=inside, other=0).to(tl.float32)
    if MASKED:
        term = tl.load(shift + channel, mask=there, other=0)
        given = tl.where(value * tl.load(scale + channel, mask=there, other=0) + term > 0, given, 0)
    found = tl.load(factors + channel, mask=there, other=0) * given
    found += tl.load(factors + channels + channel, mask=there, other=0) * value
    found += tl.load(factors + 2 * channels + channel, mask=there, other=0)
    tl.store(before + at, found.to(before.dtype.element_ty), mask=inside)
