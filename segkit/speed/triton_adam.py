"""Adam's update as one GPU kernel. Imported where it is used: Triton comes with torch's CUDA builds alone."""

import triton
import triton.language as tl
from torch import Tensor


def adam_update(
    weight: Tensor,
    half: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    rate: Tensor,
    corrections: Tensor,
    average: Tensor | None,
    share: Tensor | None,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """Adam's update of one weight, its moments, its half-precision copy and its average, in place, in one pass.

    As :class:`torch.optim.Adam` (Kingma & Ba 2015, algorithm 1; the decay is added to the gradient) or, ``decoupled``,
    as :class:`torch.optim.AdamW` (Loshchilov & Hutter 2019; the weight shrinks by rate · decay beforehand).

    Args:
        weight, mean, square: float32, of one shape and one order in memory, as are the next two.
        half: the weight as the network computes with it, of any float dtype; set to the rounded weight.
        gradient: of any float dtype.
        rate: scalar float32, the learning rate.
        corrections: float32 (2,), 1 − β^t of both betas for the t-th update.
        average: as weight: a moving average of it, of which the new weight becomes ``share``; None = there is none.
        share: scalar float32.
    """
    count, block = weight.numel(), 1024
    complements = [1 - beta for beta in betas]  # here: in float32, 1 − 0.999 loses four digits
    _adam_update[(triton.cdiv(count, block),)](
        weight, half, gradient, mean, square, rate, corrections, weight if average is None else average,
        rate if share is None else share, count, betas[1], *complements, eps, weight_decay,
        DECOUPLED=decoupled, AVERAGED=average is not None, BLOCK=block,
    )  # fmt: skip


@triton.jit
def _adam_update(
    weight, half, gradient, mean, square, rate, corrections, average, share, count, beta2, new1, new2, eps, decay,
    DECOUPLED: tl.constexpr, AVERAGED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    w = tl.load(weight + at, mask=inside)
    g = tl.load(gradient + at, mask=inside).to(tl.float32)
    if DECOUPLED:
        w -= tl.load(rate) * decay * w
    else:
        g += decay * w
    m = tl.load(mean + at, mask=inside)
    m += (g - m) * new1
    s = tl.load(square + at, mask=inside) * beta2 + new2 * g * g
    size = tl.load(rate) / tl.load(corrections)
    w -= size * m / (tl.sqrt(s) / tl.sqrt(tl.load(corrections + 1)) + eps)
    if AVERAGED:
        a = tl.load(average + at, mask=inside)
        tl.store(average + at, a + tl.load(share) * (w - a), mask=inside)
    tl.store(weight + at, w, mask=inside)
    tl.store(half + at, w.to(half.dtype.element_ty), mask=inside)
    tl.store(mean + at, m, mask=inside)
    tl.store(square + at, s, mask=inside)
