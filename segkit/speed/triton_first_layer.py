"""The first layer's GPU kernels, in Triton: a 3×3 convolution over pictures, whose few channels cuDNN pads.

Imported where a GPU is used: Triton comes with torch's CUDA builds alone.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from segkit.speed import triton_kernels
from segkit.speed.triton_kernels import relu


def first_layer(image: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
    """``conv2d(image, weight, bias, padding=1)`` for a picture of few channels, and the ReLU of it.

    Args:
        image: (B, C, H, W) in channels-last memory, 9 · C < 32.
        weight: (O, C, 3, 3) in channels-last memory, O a power of two from 16.
        bias: (O,).
        relu: whether to take it.

    Returns:
        (B, O, H, W) in channels-last memory, of the image's dtype.
    """
    batch, channels, height, width = image.shape
    result = triton_kernels.channels_last(image, batch, len(weight), height, width)
    pixels = batch * height * width
    _first_layer[(triton.cdiv(pixels, 128),)](
        image, weight, bias, result, pixels, height, width, CHANNELS=channels, OUT=len(weight), RELU=relu, TILE=128
    )
    return result


@triton.jit
def _patches(image, pixel, pixels, height, width, CHANNELS: tl.constexpr):
    """The 3×3 surroundings of pixels (TILE,), as rows (TILE, 32): in the weight's order, a one for the bias, zeros."""
    tap = tl.arange(0, 32)[None]
    across, down = tap // CHANNELS % 3 - 1, tap // CHANNELS // 3 - 1
    pixel = pixel[:, None]
    column, row = pixel % width + across, pixel // width % height + down
    there = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    there = there & (tap < 9 * CHANNELS) & (pixel < pixels)
    at = (pixel + down * width + across) * CHANNELS + tap % CHANNELS
    values = tl.load(image + at, mask=there, other=0)
    return tl.where(tap == 9 * CHANNELS, 1, values).to(image.dtype.element_ty)


@triton.jit(do_not_specialize=["pixels", "height", "width"])
def _first_layer(
    image, weight, bias, result, pixels, height, width,
    CHANNELS: tl.constexpr, OUT: tl.constexpr, RELU: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    tap = tl.arange(0, 32)[:, None]
    out = tl.arange(0, OUT)[None]
    kernel = tl.load(weight + out * (9 * CHANNELS) + tap, mask=tap < 9 * CHANNELS, other=0)
    shift = tl.load(bias + out)
    kernel = tl.where(tap == 9 * CHANNELS, shift, kernel).to(image.dtype.element_ty)
    # "ieee": float32 is not rounded to TF32's 10 bits; half precision is the same either way.
    values = tl.dot(_patches(image, pixel, pixels, height, width, CHANNELS), kernel, input_precision="ieee")
    if RELU:
        values = relu(values)
    at = pixel[:, None] * OUT + out
    tl.store(result + at, values.to(result.dtype.element_ty), mask=pixel[:, None] < pixels)


def first_layer_gradients(gradient: Tensor, result: Tensor, image: Tensor, relu: bool) -> tuple[Tensor, Tensor]:
    """Gradients of ``first_layer`` with respect to weight and bias, float32, from that of its ``result``."""
    batch, channels, height, width = image.shape
    out = result.shape[1]
    pixels = batch * height * width
    programs = min(triton_kernels.PROGRAMS, triton.cdiv(pixels, 128))
    partial = torch.empty(programs, 32, out, device=image.device)
    _first_layer_gradients[(programs,)](
        gradient, result, image, partial, pixels, height, width, programs,
        CHANNELS=channels, OUT=out, RELU=relu, TILE=128,
    )  # fmt: skip
    sums = partial.sum(0)
    weight = sums[: 9 * channels].t().contiguous().view(out, 3, 3, channels).permute(0, 3, 1, 2)
    return weight, sums[9 * channels].clone()


@triton.jit(do_not_specialize=["pixels", "height", "width", "programs"])
def _first_layer_gradients(
    gradient, result, image, partial, pixels, height, width, programs,
    CHANNELS: tl.constexpr, OUT: tl.constexpr, RELU: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    out = tl.arange(0, OUT)[None]
    total = tl.full((32, OUT), 0, tl.float32)
    first = tl.program_id(0) * TILE
    while first < pixels:
        pixel = first + tl.arange(0, TILE).to(tl.int64)
        at = pixel[:, None] * OUT + out
        inside = pixel[:, None] < pixels
        value = tl.load(gradient + at, mask=inside, other=0)
        if RELU:
            value = tl.where(tl.load(result + at, mask=inside, other=0) > 0, value, 0)
        patches = tl.trans(_patches(image, pixel, pixels, height, width, CHANNELS))
        total += tl.dot(patches, value, input_precision="ieee")
        first += programs * TILE
    tap = tl.arange(0, 32)[:, None]
    tl.store(partial + (tl.program_id(0) * 32 + tap) * OUT + out, total)
