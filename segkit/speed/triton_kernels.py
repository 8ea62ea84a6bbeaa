"""GPU kernels of our own, in Triton. Imported where a GPU is used: Triton comes with torch's CUDA builds alone."""

import torch
import triton
import triton.language as tl
from torch import Tensor


def sum_windows(windows: Tensor) -> Tensor:
    """Add up overlapping windows where they lie: the transpose of cutting a map into the windows around each position.

    Args:
        windows: (B, W, H, k, k, C), contiguous: at [b, w, h, i, j] what the position (h, w) gives to
            (h + i − k // 2, w + j − k // 2). What lies outside the map is not looked at.

    Returns:
        (B, H, W, C), the sums taken in float32.
    """
    batch, width, height, size, _, channels = windows.shape
    result = windows.new_empty(batch, height, width, channels)
    block = min(1024, triton.next_power_of_2(channels))
    grid = (batch * height * width, triton.cdiv(channels, block))
    _sum_windows[grid](windows, result, height, width, channels, SIZE=size, BLOCK=block)
    return result


@triton.jit(do_not_specialize=["height", "width"])
def _sum_windows(windows, result, height, width, channels, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64)
    column = place % width
    row = place // width % height
    batch = place // width // height
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    total = tl.full((BLOCK,), 0, tl.float32)
    for i in range(SIZE):
        for j in range(SIZE):
            from_row = row - i + SIZE // 2
            from_column = column - j + SIZE // 2
            there = (from_row >= 0) & (from_row < height) & (from_column >= 0) & (from_column < width)
            window = ((batch * width + from_column) * height + from_row) * SIZE * SIZE + i * SIZE + j
            total += tl.load(windows + window * channels + channel, mask=inside & there, other=0).to(tl.float32)
    tl.store(result + place * channels + channel, total.to(result.dtype.element_ty), mask=inside)


PROGRAMS = 1056
"""Programs of a kernel that leaves one partial sum each: eight for each multiprocessor of an H200, and always as many,
so that sums are taken in the same order everywhere."""

TILE, WIDTH = 64, 64
"""Rows and channels that a program takes at a time. One size for all layers, so that each kernel is compiled once."""


@triton.jit
def relu(value):
    # NaN stays NaN, as in torch: else a spoiled weight would be seen by nobody.
    return tl.maximum(value, 0.0, propagate_nan=tl.PropagateNan.ALL)


def tiles(result: Tensor, values: int = TILE * WIDTH, widest: int = WIDTH) -> tuple[tuple[int, int], dict[str, int]]:
    """For a program for each tile of a map: how many there are, down and across, and the tile.

    Args:
        result: (B, C, H, W): rows of C values.
        values: in a tile.
        widest: channels of a tile at most; fewer where there are fewer.
    """
    channels = result.shape[1]
    width = min(widest, triton.next_power_of_2(channels))
    tile = {"TILE": values // width, "WIDTH": width}
    return (triton.cdiv(result.numel() // channels, tile["TILE"]), triton.cdiv(channels, width)), tile


def in_rows(image: Tensor) -> Tensor:
    """A map (B, C, H, W) whose rows of C values lie evenly apart, as some channels of a larger map do; or a copy."""
    _, _, height, width = image.shape
    apart = row_stride(image)
    wanted = (height * width * apart, 1, width * apart, apart)
    axes = zip(image.shape, image.stride(), wanted, strict=True)
    fits = apart > 0 and all(size == 1 or stride == its for size, stride, its in axes)
    return image if fits else image.contiguous(memory_format=torch.channels_last)


def row_stride(image: Tensor) -> int:
    """How far a row of a map's values lies from the next, in values."""
    return next((image.stride(axis) for axis in (3, 2, 0) if image.shape[axis] > 1), image.shape[1])


@triton.jit
def place(rows, channels, TILE: tl.constexpr, WIDTH: tl.constexpr):
    """A tile's rows, its channels, and which of both there are."""
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)[:, None]
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)[None]
    return row, channel, (row < rows) & (channel < channels)


def bias_relu(values: Tensor, bias: Tensor) -> Tensor:
    """``relu(values + bias)`` of (B, C, H, W) in channels-last memory; bias (C,)."""
    result = torch.empty_like(values)
    _add(values, bias, None, result, relu=True)
    return result


def add_in_place(values: Tensor, bias: Tensor, added: Tensor | None, relu: bool) -> None:
    """``values + bias``, plus ``added`` of the same shape, and the ReLU of that, in the place of ``values``."""
    _add(values, bias, added, values, relu)


def _add(values: Tensor, bias: Tensor, added: Tensor | None, result: Tensor, relu: bool) -> None:
    channels = values.shape[1]
    grid, tile = tiles(values, widest=2 * WIDTH)
    _bias_relu[grid](
        values, bias, values if added is None else added, result, values.numel() // channels, channels,
        ADDED=added is not None, RELU=relu, num_warps=8, **tile,
    )  # fmt: skip


@triton.jit(do_not_specialize=["rows"])
def _bias_relu(
    values, bias, added, result, rows, channels,
    ADDED: tl.constexpr, RELU: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row, channel, inside = place(rows, channels, TILE, WIDTH)
    at = row.to(tl.int64) * channels + channel
    value = tl.load(values + at, mask=inside, other=0).to(tl.float32)
    value += tl.load(bias + channel, mask=channel < channels, other=0).to(tl.float32)
    if ADDED:
        value += tl.load(added + at, mask=inside, other=0).to(tl.float32)
    if RELU:
        value = relu(value)
    tl.store(result + at, value.to(result.dtype.element_ty), mask=inside)


def sum_rows(gradient: Tensor) -> Tensor:
    """The gradient (C,) of `add_bias` with respect to the bias, float32, from that of what came of it."""
    channels = gradient.shape[1]
    (down, across), tile = tiles(gradient)
    programs = min(max(1, PROGRAMS // across), down)
    partial = torch.empty(programs, channels, device=gradient.device)
    rows = gradient.numel() // channels
    _sum_rows[(programs, across)](gradient, partial, rows, channels, programs, num_warps=8, **tile)
    return partial.sum(0)


@triton.jit(do_not_specialize=["rows", "programs"])
def _sum_rows(gradient, partial, rows, channels, programs, TILE: tl.constexpr, WIDTH: tl.constexpr):
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)[None]
    total = tl.full((TILE, WIDTH), 0, tl.float32)
    first = tl.program_id(0) * TILE
    while first < rows:
        row = first + tl.arange(0, TILE)[:, None]
        inside = (row < rows) & (channel < channels)
        total += tl.load(gradient + row.to(tl.int64) * channels + channel, mask=inside, other=0).to(tl.float32)
        first += programs * TILE
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    tl.store(partial + tl.program_id(0) * channels + channel, tl.sum(total, 0), mask=channel < channels)


def bias_relu_backward(gradient: Tensor, result: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of ``bias_relu`` with respect to values and bias (float32), from that of its ``result``."""
    values = torch.empty_like(result)
    channels = result.shape[1]
    rows = result.numel() // channels
    programs, partial = _partial_sums(result, rows)
    _bias_relu_backward[(programs, triton.cdiv(channels, WIDTH))](
        gradient, result, values, partial, rows, channels, programs, TILE=TILE, WIDTH=WIDTH, num_warps=8
    )
    return values, partial.sum(0)


def _partial_sums(result: Tensor, rows: int) -> tuple[int, Tensor]:
    """How many programs go through the rows of each ``WIDTH`` channels, and room for what they sum up."""
    channels = result.shape[1]
    programs = min(max(1, PROGRAMS // triton.cdiv(channels, WIDTH)), triton.cdiv(rows, TILE))
    return programs, torch.empty(programs, channels, device=result.device)


@triton.jit(do_not_specialize=["rows", "programs"])
def _bias_relu_backward(
    gradient, result, values, partial, rows, channels, programs, TILE: tl.constexpr, WIDTH: tl.constexpr
):
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)[None]
    total = tl.full((TILE, WIDTH), 0, tl.float32)
    first = tl.program_id(0) * TILE
    while first < rows:
        row = first + tl.arange(0, TILE)[:, None]
        at = row.to(tl.int64) * channels + channel
        inside = (row < rows) & (channel < channels)
        passed = tl.load(result + at, mask=inside, other=0) > 0
        value = tl.where(passed, tl.load(gradient + at, mask=inside, other=0), 0)
        tl.store(values + at, value, mask=inside)
        total += value.to(tl.float32)
        first += programs * TILE
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    tl.store(partial + tl.program_id(0) * channels + channel, tl.sum(total, 0), mask=channel < channels)


def bias_relu_pool(values: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of ``relu(values + bias)`` in every 2×2 square.

    Args:
        values: (B, C, H, W) in channels-last memory, H and W even.
        bias: (C,).

    Returns:
        (B, C, H/2, W/2), and which of the four it is, uint8: 0 and 1 above, 2 and 3 below.
    """
    batch, channels, height, width = values.shape
    result = channels_last(values, batch, channels, height // 2, width // 2)
    which = torch.empty_like(result, dtype=torch.uint8)
    grid, tile = tiles(result, values=1024)
    rows = result.numel() // channels
    _bias_relu_pool[grid](values, bias, result, which, rows, width // 2, channels, **tile)
    return result, which


@triton.jit(do_not_specialize=["rows", "width"])
def _bias_relu_pool(values, bias, result, which, rows, width, channels, TILE: tl.constexpr, WIDTH: tl.constexpr):
    row, channel, inside = place(rows, channels, TILE, WIDTH)
    # Row i of the result lies over the rows 2i and 2i + 1, of 2 · width positions each.
    corner = (row // width * 4 * width + row % width * 2).to(tl.int64) * channels + channel
    largest = tl.load(values + corner, mask=inside, other=0).to(tl.float32)
    chosen = tl.full((TILE, WIDTH), 0, tl.int32)
    for other in tl.static_range(1, 4):
        offset = (other // 2 * 2 * width + other % 2) * channels
        value = tl.load(values + corner + offset, mask=inside, other=0).to(tl.float32)
        chosen = tl.where((value > largest) | (value != value), other, chosen)
        largest = tl.maximum(value, largest, propagate_nan=tl.PropagateNan.ALL)
    largest = relu(largest + tl.load(bias + channel, mask=channel < channels, other=0).to(tl.float32))
    at = row.to(tl.int64) * channels + channel
    tl.store(result + at, largest.to(result.dtype.element_ty), mask=inside)
    tl.store(which + at, chosen.to(tl.uint8), mask=inside)


def bias_relu_pool_backward(gradient: Tensor, result: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of ``bias_relu_pool`` with respect to values and bias (float32), from that of its ``result``."""
    batch, channels, height, width = result.shape
    values = channels_last(result, batch, channels, 2 * height, 2 * width)
    rows = result.numel() // channels
    programs, partial = _partial_sums(result, rows)
    _bias_relu_pool_backward[(programs, triton.cdiv(channels, WIDTH))](
        gradient, result, which, values, partial, rows, width, channels, programs, TILE=TILE, WIDTH=WIDTH, num_warps=8
    )
    return values, partial.sum(0)


@triton.jit(do_not_specialize=["rows", "width", "programs"])
def _bias_relu_pool_backward(
    gradient, result, which, values, partial, rows, width, channels, programs, TILE: tl.constexpr, WIDTH: tl.constexpr
):
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)[None]
    total = tl.full((TILE, WIDTH), 0, tl.float32)
    first = tl.program_id(0) * TILE
    while first < rows:
        row = first + tl.arange(0, TILE)[:, None]
        place = row.to(tl.int64)
        at = place * channels + channel
        inside = (row < rows) & (channel < channels)
        passed = tl.load(result + at, mask=inside, other=0) > 0
        value = tl.where(passed, tl.load(gradient + at, mask=inside, other=0), 0)
        chosen = tl.load(which + at, mask=inside, other=0)
        corner = (place // width * 4 * width + place % width * 2) * channels + channel
        for other in tl.static_range(4):
            offset = (other // 2 * 2 * width + other % 2) * channels
            tl.store(values + corner + offset, tl.where(chosen == other, value, 0), mask=inside)
        total += value.to(tl.float32)
        first += programs * TILE
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    tl.store(partial + tl.program_id(0) * channels + channel, tl.sum(total, 0), mask=channel < channels)


def channels_last(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
