"""Functions of torch that pool, enlarge, convolve and score maps, on a GPU by ways of our own.

Whichever module calls them, a network's own or one of a library: a mode of torch's is in force while a step is
recorded, which costs its calls once. Torch's functions keep wide indices of maxima, enlarge in fp32 under autocast, and
add up gradients in any order.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.utils import _pair
from torch.overrides import TorchFunctionMode

from segkit.speed import beside
from segkit.speed.reached_taps import reached


class FastFunctions(TorchFunctionMode):
    """In force, torch's functions that have a faster way take it, where it applies."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        way = WAYS.get(func)
        result = way(*args, **kwargs) if way is not None else None
        return func(*args, **kwargs) if result is None else result


def _applies(image: Tensor, *dtypes: torch.dtype) -> bool:
    return image.is_cuda and image.dtype in (dtypes or (torch.bfloat16, torch.float16)) and image.ndim == 4


def _max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | None:
    """As torch's; None where it is torch's to compute."""
    image = input
    *square, dilated = (_one(value) for value in (kernel_size, stride or kernel_size, padding, dilation))
    if not _applies(image) or ceil_mode or return_indices or None in square or dilated != 1 or square[0] > WIDEST:
        return None
    if min(image.shape[2:]) + 2 * square[2] < square[0]:  # no place for a square: torch says so
        return None
    result: Tensor = _Pooled.apply(image, *square)
    return result


WIDEST = 5
"""Width of squares up to which a kernel that looks at all of a square's values is worth it."""


def _one(value: Any) -> Any:
    """The number that stands for both axes, or None where they differ."""
    values = {*value} if isinstance(value, tuple | list) else {value}
    return values.pop() if len(values) == 1 else None


def _interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor | None:
    """As torch's; None where it is torch's to compute."""
    image = input
    if not _applies(image) or size is None or mode not in ("nearest", "bilinear") or align_corners or antialias:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if height < image.shape[2] or width < image.shape[3]:
        return None
    size, nearest, before = (int(height), int(width)), mode == "nearest", image.shape[2:]
    if before == (1, 1):
        return image.expand(-1, -1, *size)
    result: Tensor
    if height * width > MANY * before.numel():
        image = _Enlarged.apply(image, (size[0], before[1]), nearest)
    result = _Enlarged.apply(image, size, nearest)
    return result


MANY = 16
"""Times as many positions up to which rows and columns are enlarged at once: each position of the image adds up four
times as many gradients, one after the other."""


def _adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor | None:
    """As torch's; None where it is torch's to compute."""
    if not _applies(input) or _one(output_size) != 1:
        return None
    result: Tensor = _Mean.apply(input)
    return result


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """As torch's; None where it is torch's to compute: all taps meet the map, and nobody takes weights' gradients."""
    if not _applies(input) or isinstance(padding, str):
        return None
    stride, padding, dilation = pairs = [_pair(value) for value in (stride, padding, dilation)]
    if any(len(pair) != 2 for pair in pairs):  # torch takes one number in a list for both axes
        return None
    part = reached(input.shape[2:], weight.shape[2:], stride, padding, dilation)
    taking = beside.in_force(weight) if bias is None else None
    if taking is None:
        if part is None:
            return None
        return F.conv2d(input, part.of(weight), bias, stride, part.padding, part.dilation, groups)
    given = (stride, padding, dilation) if part is None else (stride, part.padding, part.dilation)
    rest = (*given, False, [0, 0], groups)

    def taps(weight: Tensor) -> Tensor:
        return weight if part is None else part.of(weight)

    def forward(image: Tensor, weight: Tensor) -> Tensor:
        return torch.ops.aten.convolution(image, taps(weight), None, *rest)

    def image_gradient(gradient: Tensor, image: Tensor, weight: Tensor) -> Tensor:
        mask = [True, False, False]
        return torch.ops.aten.convolution_backward(gradient, image, taps(weight), None, *rest, mask)[0]

    def weight_gradient(gradient: Tensor, image: Tensor, weight: Tensor) -> Tensor:
        mask = [False, True, False]
        found = torch.ops.aten.convolution_backward(gradient, image, taps(weight), None, *rest, mask)[1]
        return found if part is None else part.whole(found, weight.shape)

    return beside.computed(taking, beside.Way(forward, image_gradient, weight_gradient), input, weight)


MOST = 64
"""Classes up to which all logits of a pixel are in one program."""


def _cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor | None:
    """As torch's, of each pixel; None where it is torch's to compute."""
    if (weight, size_average, reduce, reduction, label_smoothing) != (None, None, None, "none", 0.0):
        return None
    if not _applies(input, torch.float32) or input.shape[1] > MOST:
        return None
    if target.dtype != torch.int64 or target.shape != input[:, 0].shape:
        return None
    result: Tensor = _CrossEntropy.apply(input, target, ignore_index)
    return result


WAYS: Mapping[Any, Callable[..., Tensor | None]] = {
    F.conv2d: _conv2d,
    F.max_pool2d: _max_pool2d,
    torch.max_pool2d: _max_pool2d,
    F.interpolate: _interpolate,
    F.cross_entropy: _cross_entropy,
    F.adaptive_avg_pool2d: _adaptive_avg_pool2d,
}


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, kernel: int, stride: int, padding: int) -> Tensor:  # type: ignore[override]
        from segkit.speed import triton_maps

        image = image.contiguous(memory_format=torch.channels_last)
        result, which = triton_maps.max_pool(image, kernel, stride, padding)
        ctx.save_for_backward(which)
        ctx.given = image.shape[2:], kernel, stride, padding
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        from segkit.speed import triton_maps

        (which,) = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        return triton_maps.max_pool_backward(gradient, which, *ctx.given), None, None, None


class _Enlarged(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, size: tuple[int, int], nearest: bool) -> Tensor:  # type: ignore[override]
        from segkit.speed import triton_maps

        ctx.given = image.shape[2:], nearest
        return triton_maps.enlarge(image.contiguous(memory_format=torch.channels_last), size, nearest)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        from segkit.speed import triton_maps

        gradient = gradient.contiguous(memory_format=torch.channels_last)
        return triton_maps.enlarge_backward(gradient, *ctx.given), None, None


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, label: Tensor, ignored: int) -> Tensor:  # type: ignore[override]
        from segkit.speed import triton_loss

        ctx.save_for_backward(logits, label)
        ctx.ignored = ignored
        return triton_loss.cross_entropy(logits, label, ignored)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        from segkit.speed import triton_loss

        logits, label = ctx.saved_tensors
        return triton_loss.cross_entropy_backward(gradient, logits, label, ctx.ignored), None, None


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:  # type: ignore[override]
        ctx.shape = image.shape
        return image.mean((2, 3), keepdim=True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        # In the order in memory that other gradients of the map have: else adding them takes several times as long.
        shared = gradient / (ctx.shape[2] * ctx.shape[3])
        return shared.expand(ctx.shape).contiguous(memory_format=torch.channels_last)
