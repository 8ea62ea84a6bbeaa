"""GPU kernels that pool and enlarge maps, in Triton. Imported where a GPU is used.

Maps are (B, C, H, W) in channels-last memory, and so rows of C values, one row for each position. Gradients are
gathered: each position of the input adds up what the outputs give it, in the same order every time, where torch adds
what each output gives in any order. Sums are taken in float32.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from segkit.speed.triton_kernels import place, tiles

VALUES = 1024
"""That a program takes at a time."""


def _empty(like: Tensor, channels_last_shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty(channels_last_shape, dtype=dtype, device=like.device, memory_format=torch.channels_last)


def max_pool(image: Tensor, kernel: int, stride: int, padding: int) -> tuple[Tensor, Tensor]:
    """Maximum pooling over squares, and which of a square's values each maximum is.

    Returns:
        (B, C, OH, OW), and uint8 of the same shape, row · kernel + column within the square: the first of equal ones.
    """
    batch, channels, height, width = image.shape
    out = [(length + 2 * padding - kernel) // stride + 1 for length in (height, width)]
    result = _empty(image, (batch, channels, *out), image.dtype)
    which = _empty(image, (batch, channels, *out), torch.uint8)
    grid, tile = tiles(result, VALUES)
    _max_pool[grid](
        image, result, which, result.numel() // channels, channels, height, width, *out,
        KERNEL=kernel, STRIDE=stride, PADDING=padding, **tile,
    )  # fmt: skip
    return result, which


@triton.jit(do_not_specialize=["rows", "height", "width", "out_height", "out_width"])
def _max_pool(
    image, result, which, rows, channels, height, width, out_height, out_width,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row, channel, inside = place(rows, channels, TILE, WIDTH)
    top = row // out_width % out_height * STRIDE - PADDING
    left = row % out_width * STRIDE - PADDING
    picture = row // out_width // out_height * height
    largest = tl.full((TILE, WIDTH), -float("inf"), tl.float32)
    chosen = tl.full((TILE, WIDTH), 0, tl.int32)
    for tap in tl.static_range(KERNEL * KERNEL):
        y, x = top + tap // KERNEL, left + tap % KERNEL
        there = inside & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        at = ((picture + y).to(tl.int64) * width + x) * channels + channel
        value = tl.load(image + at, mask=there, other=-float("inf")).to(tl.float32)
        larger = (value > largest) | (value != value)  # NaN stays NaN
        chosen = tl.where(larger, tap, chosen)
        largest = tl.where(larger, value, largest)
    at = row.to(tl.int64) * channels + channel
    tl.store(result + at, largest.to(result.dtype.element_ty), mask=inside)
    tl.store(which + at, chosen.to(tl.uint8), mask=inside)


def max_pool_backward(
    gradient: Tensor, which: Tensor, size: tuple[int, int], kernel: int, stride: int, padding: int
) -> Tensor:
    """Gradient of `max_pool` with respect to its image of ``size``, from that of its result."""
    batch, channels, *out = gradient.shape
    result = _empty(gradient, (batch, channels, *size), gradient.dtype)
    grid, tile = tiles(result, VALUES)
    _max_pool_backward[grid](
        gradient, which, result, result.numel() // channels, channels, *size, *out,
        KERNEL=kernel, STRIDE=stride, PADDING=padding, **tile,
    )  # fmt: skip
    return result


@triton.jit(do_not_specialize=["rows", "height", "width", "out_height", "out_width"])
def _max_pool_backward(
    gradient, which, result, rows, channels, height, width, out_height, out_width,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row, channel, inside = place(rows, channels, TILE, WIDTH)
    y, x = row // width % height + PADDING, row % width + PADDING
    picture = row // width // height * out_height
    total = tl.full((TILE, WIDTH), 0, tl.float32)
    # The squares that hold a position: the last that begins before it, and those before that still reach it.
    for square in tl.static_range(((KERNEL + STRIDE - 1) // STRIDE) * ((KERNEL + STRIDE - 1) // STRIDE)):
        out_y = y // STRIDE - square // ((KERNEL + STRIDE - 1) // STRIDE)
        out_x = x // STRIDE - square % ((KERNEL + STRIDE - 1) // STRIDE)
        down, across = y - out_y * STRIDE, x - out_x * STRIDE
        there = (out_y >= 0) & (out_y < out_height) & (out_x >= 0) & (out_x < out_width)
        there = inside & there & (down < KERNEL) & (across < KERNEL)
        at = ((picture + out_y).to(tl.int64) * out_width + out_x) * channels + channel
        mine = tl.load(which + at, mask=there, other=255).to(tl.int32) == down * KERNEL + across
        total += tl.load(gradient + at, mask=there & mine, other=0).to(tl.float32)
    at = row.to(tl.int64) * channels + channel
    tl.store(result + at, total.to(result.dtype.element_ty), mask=inside)


def enlarge(image: Tensor, size: tuple[int, int], nearest: bool) -> Tensor:
    """A map at a larger size, by its nearest or by its four nearest values (bilinear, pixels as areas)."""
    batch, channels, height, width = image.shape
    result = _empty(image, (batch, channels, *size), image.dtype)
    grid, tile = tiles(result, VALUES)
    _enlarge[grid](
        image, result, result.numel() // channels, channels, height, width, *size, height / size[0], width / size[1],
        NEAREST=nearest, **tile,
    )  # fmt: skip
    return result


@triton.jit
def _source(place, length, scale):
    """Where a position of the result lies in a row or column of the image, clamped to the centres of its ends."""
    return tl.minimum(tl.maximum((place.to(tl.float32) + 0.5) * scale - 0.5, 0.0), length - 1.0)


@triton.jit(do_not_specialize=["rows", "height", "width", "out_height", "out_width"])
def _enlarge(
    image, result, rows, channels, height, width, out_height, out_width, scale_y, scale_x,
    NEAREST: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row, channel, inside = place(rows, channels, TILE, WIDTH)
    out_y, out_x = row // out_width % out_height, row % out_width
    picture = row // out_width // out_height * height
    if NEAREST:
        y = tl.minimum((out_y.to(tl.float32) * scale_y).to(tl.int32), height - 1)
        x = tl.minimum((out_x.to(tl.float32) * scale_x).to(tl.int32), width - 1)
        at = ((picture + y).to(tl.int64) * width + x) * channels + channel
        total = tl.load(image + at, mask=inside, other=0).to(tl.float32)
    else:
        source_y, source_x = _source(out_y, height, scale_y), _source(out_x, width, scale_x)
        total = tl.full((TILE, WIDTH), 0, tl.float32)
        for corner in tl.static_range(4):
            y, x = source_y.to(tl.int32) + corner // 2, source_x.to(tl.int32) + corner % 2
            share = (1 - tl.abs(source_y - y)) * (1 - tl.abs(source_x - x))
            there = inside & (y < height) & (x < width)
            at = ((picture + y).to(tl.int64) * width + x) * channels + channel
            total += share * tl.load(image + at, mask=there, other=0).to(tl.float32)
    at = row.to(tl.int64) * channels + channel
    tl.store(result + at, total.to(result.dtype.element_ty), mask=inside)


def enlarge_backward(gradient: Tensor, size: tuple[int, int], nearest: bool) -> Tensor:
    """Gradient of `enlarge` with respect to its image of ``size``, from that of its result."""
    batch, channels, *out = gradient.shape
    result = _empty(gradient, (batch, channels, *size), gradient.dtype)
    scales = size[0] / out[0], size[1] / out[1]
    reach = 1 if nearest else 2  # of a position of the image, in its own rows and columns
    taps = [math.ceil(reach / scale) + nearest for scale in scales]
    grid, tile = tiles(result, VALUES)
    _enlarge_backward[grid](
        gradient, result, result.numel() // channels, channels, *size, *out, *scales,
        NEAREST=nearest, DOWN=taps[0], ACROSS=taps[1], **tile,
    )  # fmt: skip
    return result


@triton.jit(do_not_specialize=["rows", "height", "width", "out_height", "out_width"])
def _enlarge_backward(
    gradient, result, rows, channels, height, width, out_height, out_width, scale_y, scale_x,
    NEAREST: tl.constexpr, DOWN: tl.constexpr, ACROSS: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row, channel, inside = place(rows, channels, TILE, WIDTH)
    y, x = row // width % height, row % width
    picture = row // width // height * out_height
    # The first position of the result that sees this one.
    if NEAREST:
        top = (y.to(tl.float32) / scale_y).to(tl.int32)
        left = (x.to(tl.float32) / scale_x).to(tl.int32)
    else:
        top = tl.floor((y.to(tl.float32) - 0.5) / scale_y - 0.5).to(tl.int32) + 1
        left = tl.floor((x.to(tl.float32) - 0.5) / scale_x - 0.5).to(tl.int32) + 1
    total = tl.full((TILE, WIDTH), 0, tl.float32)
    for down in range(DOWN):
        out_y = top + down
        if NEAREST:
            of_row = (tl.minimum((out_y.to(tl.float32) * scale_y).to(tl.int32), height - 1) == y).to(tl.float32)
        else:
            of_row = tl.maximum(1 - tl.abs(_source(out_y, height, scale_y) - y), 0.0)
        for across in range(ACROSS):
            out_x = left + across
            if NEAREST:
                share = of_row * (tl.minimum((out_x.to(tl.float32) * scale_x).to(tl.int32), width - 1) == x)
            else:
                share = of_row * tl.maximum(1 - tl.abs(_source(out_x, width, scale_x) - x), 0.0)
            there = inside & (out_y >= 0) & (out_y < out_height) & (out_x >= 0) & (out_x < out_width) & (share > 0)
            at = ((picture + out_y).to(tl.int64) * out_width + out_x) * channels + channel
            total += share * tl.load(gradient + at, mask=there, other=0).to(tl.float32)
    at = row.to(tl.int64) * channels + channel
    tl.store(result + at, total.to(result.dtype.element_ty), mask=inside)
