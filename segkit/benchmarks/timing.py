"""How long a step takes, how much arithmetic is in it, and how much the device could do in that time."""

import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segkit.speed.packed import PackedConvolution

PEAK_SIZE = {"cuda": 8192, "cpu": 2048}
"""Rows and columns of the matrices whose product gives ``matrix_peak``: large enough to fill the device."""


def median_step_ms(step: Callable[[], object], device: torch.device, steps: int, warm_up: int) -> float:
    """Median milliseconds of ``steps`` calls of ``step``, after ``warm_up`` further ones.

    On a GPU the time from the end of one step's work to the end of the next one's, by events in its own queue: the host
    may run ahead, as it does in training. On the CPU the time of each call.
    """
    for _ in range(warm_up):
        step()
    if device.type != "cuda":
        stamps = [time.perf_counter()]
        for _ in range(steps):
            step()
            stamps.append(time.perf_counter())
        return 1000 * median(after - before for before, after in pairwise(stamps))
    events = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]
    with torch.cuda.device(device):
        events[0].record()
        for event in events[1:]:
            step()
            event.record()
        torch.cuda.synchronize()
    return median(before.elapsed_time(after) for before, after in pairwise(events))


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """TFLOP/s of a product of two large matrices of random numbers.

    On the CPU it is written as a 1×1 convolution with weights laid out beforehand, which runs in the library that runs
    the network (oneDNN). ``torch.mm`` may run in another one that knows the processor less well: on an AMD EPYC it
    reached half as much, and a training step more than all of that "peak".
    """
    size = PEAK_SIZE[device.type]
    if device.type == "cuda":
        left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        out = torch.empty_like(left)
        ms = median_step_ms(lambda: torch.mm(left, right, out=out), device, steps=30, warm_up=10)
    else:
        rows = torch.randn(1, size, size // 16, 16, dtype=dtype).to(memory_format=torch.channels_last)
        product = PackedConvolution(nn.Conv2d(size, size, 1, bias=False, dtype=dtype))
        with torch.no_grad():
            ms = median_step_ms(lambda: product(rows), device, steps=10, warm_up=3)
    return 2 * size**3 / ms * 1e-9


def peak_text(peak: float, device: torch.device, dtype: torch.dtype) -> str:
    """A line for a table's remarks."""
    return f"matrix peak {peak:.4g} TFLOP/s: {PEAK_SIZE[device.type]}³ in {str(dtype).removeprefix('torch.')}"


def count_flops(network: nn.Module, image: torch.Tensor) -> int:
    """FLOPs of the network's forward and backward pass on ``image``, 2 for each multiplication with its addition.

    Of network and image shapes alone matter: on the meta device nothing is computed.
    """
    with FlopCounterMode(display=False) as counter:
        outputs = network(image)
        logits, heads = (outputs, []) if isinstance(outputs, torch.Tensor) else outputs  # with auxiliary heads
        sum((head.sum() for head in heads), logits.sum()).backward()
    return counter.get_total_flops()
