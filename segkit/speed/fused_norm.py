"""A convolution, batch normalisation and what follows, on a GPU in few passes over memory while a network is trained.

Torch's own layers read and write a map once for each of normalisation, sum and ReLU, and once more for a bias of the
convolution, which the normalisation takes away again: it is left out here, and its gradient, which is 0 but for
rounding, is 0. Numbers are those of torch's layers but for rounding.
"""

from typing import Any

import torch
from torch import Tensor, nn

from segkit.speed import fused_ops
from segkit.speed.convolution import convolve


def conv_norm(
    image: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d, added: Tensor | None = None, relu: bool = True
) -> Tensor:
    """``norm(conv(image))``, plus ``added`` of the same shape, and the ReLU of that: (B, C, H, W).

    In training only, where `applies` says so. A result that something was added to has a `twin`.
    """
    offset = conv.bias
    if fused_ops.is_first_layer(image, conv) and offset is not None:
        values, offset = fused_ops.first_layer_of(image, conv, relu=False), None
    else:
        values = convolve(image, conv).contiguous(memory_format=torch.channels_last)
    if added is not None:
        added = added.to(values.dtype, memory_format=torch.channels_last)
    result, twin = _Normalised.apply(values, norm.weight, norm.bias, offset, added, norm, relu)
    if twin is not None:
        result.segkit_twin = twin
    return result


def twin(image: Tensor) -> Tensor:
    """The same map once more where it has a twin, else itself.

    Who uses both spares backward a pass over memory: the gradients of the two are added where they are read.
    """
    found: Tensor = getattr(image, "segkit_twin", image)
    return found


def applies(image: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
    """Whether a map is on a GPU, and a network trained there in half precision; a compiler fuses by itself."""
    return norm.training and fused_ops.applies(image, conv) and not torch.compiler.is_compiling()


def is_usual(norm: nn.Module) -> bool:
    """Whether it is batch normalisation as torch makes it if nothing else is asked for, in fp32."""
    if type(norm) is not nn.BatchNorm2d or not norm.affine or norm.momentum is None:
        return False
    return norm.running_mean is not None and norm.weight.dtype == norm.running_mean.dtype == torch.float32


def _is_small(values: Tensor) -> bool:
    from segkit.speed import triton_small_norm

    return values.numel() <= triton_small_norm.ROWS * values.shape[1]


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        values: Tensor,
        weight: Tensor,
        bias: Tensor,
        offset: Tensor | None,
        added: Tensor | None,
        norm: nn.BatchNorm2d,
        relu: bool,
    ) -> tuple[Tensor, Tensor | None]:
        from segkit.speed import triton_norm, triton_small_norm

        assert norm.momentum is not None
        running = norm.running_mean, norm.running_var, norm.num_batches_tracked
        if values.numel() == values.shape[1]:
            raise ValueError("batch normalisation of a single value per channel: give larger pictures or batches")
        given = (values, weight, bias, *running, offset, norm.momentum, norm.eps)
        if _is_small(values):
            result, found = triton_small_norm.normalise_at_once(*given, added, relu)  # type: ignore[arg-type]
        else:
            found = triton_norm.statistics(*given)  # type: ignore[arg-type]
            result = triton_norm.normalise(values, found, added, relu)
        kept = result if relu and added is not None else None
        ctx.save_for_backward(values, kept, weight, offset, *found)
        ctx.relu, ctx.added = relu, added is not None
        ctx.set_materialize_grads(False)
        # Not a view: that would hold the result, which holds it, and all of the graph for ever.
        return result, None if kept is None else result.data

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, gradient: Tensor | None, other: Tensor | None = None
    ) -> tuple[Tensor | None, ...]:
        from segkit.speed import triton_norm, triton_small_norm
        from segkit.speed.triton_kernels import in_rows
        from segkit.speed.triton_norm_sums import Statistics

        values, result, weight, offset, *found = ctx.saved_tensors
        if gradient is None:
            gradient, other = other, None
        assert gradient is not None
        gradient = in_rows(gradient)
        if other is not None:
            other = other.contiguous(memory_format=torch.channels_last)
        small = _is_small(values)
        way = triton_small_norm.normalise_backward_at_once if small else triton_norm.normalise_backward
        before, of_weight, of_bias, of_added = way(
            gradient, other, values, result, weight, Statistics(*found), ctx.relu
        )
        if ctx.added and of_added is None:
            of_added = gradient
        return before, of_weight, of_bias, None if offset is None else torch.zeros_like(offset), of_added, None, None
