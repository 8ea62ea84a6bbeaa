"""What follows from a batch normalisation's sums over all positions of a map: parts of its GPU kernels."""

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor


class Statistics(NamedTuple):
    """Of a batch, float32 (C,) each: mean, 1 / √(variance + eps); the normalised map is values · scale + shift."""

    mean: Tensor
    deviation: Tensor
    scale: Tensor
    shift: Tensor


def passed(relu: bool, result: Tensor | None) -> int:
    """Which values tell backward what a ReLU passed: 0 = there was none, 1 = the normalised ones, 2 = the result's."""
    return 0 if not relu else 1 if result is None else 2


@triton.jit
def keep_moments(
    total, squares, values, weight, bias, running_mean, running_var, batches, offset, found, rows, channel, channels,
    momentum, eps, OFFSET: tl.constexpr,
):  # fmt: skip
    """From sums of some channels (LANES,) what `statistics` keeps of them; scale and shift."""
    there = channel < channels
    apart = total / rows
    variance = tl.maximum(squares / rows - apart * apart, 0.0, propagate_nan=tl.PropagateNan.ALL)
    mean = tl.load(values + channel, mask=there, other=0).to(tl.float32) + apart
    deviation = 1 / tl.sqrt(variance + eps)
    scale = tl.load(weight + channel, mask=there, other=0) * deviation
    shift = tl.load(bias + channel, mask=there, other=0) - mean * scale
    at = found + channel
    tl.store(at, mean, mask=there)
    tl.store(at + channels, deviation, mask=there)
    tl.store(at + 2 * channels, scale, mask=there)
    tl.store(at + 3 * channels, shift, mask=there)
    if OFFSET:
        mean += tl.load(offset + channel, mask=there, other=0).to(tl.float32)
    # As torch has it: the running variance is that of a sample.
    variance = variance * (rows / (rows - 1.0))
    before = tl.load(running_mean + channel, mask=there, other=0)
    tl.store(running_mean + channel, before + momentum * (mean - before), mask=there)
    before = tl.load(running_var + channel, mask=there, other=0)
    tl.store(running_var + channel, before + momentum * (variance - before), mask=there)
    if tl.program_id(0) == 0:
        tl.store(batches, tl.load(batches) + 1)
    return scale, shift


@triton.jit
def keep_gradients(total, products, weight, mean, deviation, sums, rows, channel, channels):
    """From sums of some channels (LANES,) the gradients of their weights and biases, kept in ``sums``.

    Returns one, other and rest: the gradient of the values is one · gradient + other · value + rest.
    """
    there = channel < channels
    over = tl.load(deviation + channel, mask=there, other=0)
    of_weight = products * over
    tl.store(sums + channel, of_weight, mask=there)
    tl.store(sums + channels + channel, total, mask=there)
    one = tl.load(weight + channel, mask=there, other=0) * over
    other = -one * over * of_weight / rows
    rest = -one * total / rows - tl.load(mean + channel, mask=there, other=0) * other
    return one, other, rest
