"""What follows a convolution, on a GPU in one pass over memory or with the convolution itself.

In half precision a network's first maps are so large, and their convolutions so cheap, that bias, ReLU and pooling one
after the other take as long as the convolutions. The numbers are those of torch's operations but for rounding: sums
that torch rounds to half precision in between stay in float32 here. Maps are (B, C, H, W) in channels-last memory.
"""

from typing import Any

import torch
from torch import Tensor, nn

from segkit.speed import beside
from segkit.speed.beside import Beside


def applies(image: Tensor, layer: nn.Conv2d) -> bool:
    """Whether a map is on a GPU and ``layer`` computes in half precision there."""
    return image.is_cuda and compute_dtype(image, layer) in (torch.bfloat16, torch.float16)


def compute_dtype(image: Tensor, layer: nn.Conv2d) -> torch.dtype:
    """The dtype that ``layer`` computes in: autocast's where that is on, else its weight's."""
    kind = image.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else layer.weight.dtype


def is_first_layer(image: Tensor, layer: nn.Conv2d) -> bool:
    """Whether the kernel for the first layer computes ``layer``: 3×3 over a picture of three channels, at full size."""
    plain = layer.stride == layer.dilation == (1, 1) and layer.groups == 1 and layer.padding_mode == "zeros"
    same = layer.kernel_size == (3, 3) and layer.padding in ("same", (1, 1))
    wanted = layer.out_channels in (16, 32, 64, 128)  # a power of two, and no more than the kernel's registers hold
    return plain and same and layer.in_channels == 3 and wanted and not image.requires_grad


def first_layer_of(image: Tensor, layer: nn.Conv2d, relu: bool) -> Tensor:
    """``layer(image)``, where ``is_first_layer``, and the ReLU of it."""
    assert layer.bias is not None
    image = image.to(compute_dtype(image, layer)).contiguous(memory_format=torch.channels_last)
    return first_layer(image, layer.weight.contiguous(memory_format=torch.channels_last), layer.bias, relu)


def with_bias(values: Tensor, bias: Tensor) -> Tensor:
    """``values + bias``, bias (C,), of a convolution's ``values`` that nobody else holds: they may be changed."""
    if torch.compiler.is_compiling():
        return values + bias.to(values.dtype)[:, None, None]
    result: Tensor = _Biased.apply(values.contiguous(memory_format=torch.channels_last), bias, beside.in_force(bias))
    return result


def finished(values: Tensor, layer: nn.Conv2d, added: Tensor | None) -> Tensor:
    """The ReLU of a convolution's ``values``, its bias and ``added`` of their shape, in their place; no gradients."""
    from segkit.speed import triton_kernels as kernels

    assert layer.bias is not None
    values = _ordered(values)
    if added is not None:
        added = added.to(values.dtype, memory_format=torch.channels_last)
    kernels.add_in_place(values, layer.bias, added, relu=True)
    return values


class _Biased(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, bias: Tensor, taking: Beside | None) -> Tensor:  # type: ignore[override]
        from segkit.speed import triton_kernels as kernels

        ctx.mark_dirty(values)
        ctx.bias, ctx.taking = bias, taking
        kernels.add_in_place(values, bias, None, relu=False)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:  # type: ignore[override]
        from segkit.speed import triton_kernels as kernels

        bias, ordered = ctx.bias, _ordered(gradient)
        if ctx.taking is None or not ctx.needs_input_grad[1]:
            return gradient, kernels.sum_rows(ordered).to(bias.dtype), None
        ctx.taking.take(bias, lambda: kernels.sum_rows(ordered).to(bias.dtype), ordered)
        return gradient, None, None


# The kernels as operations that autograd and torch.compile know. They are imported with the first use, on a GPU.


@torch.library.custom_op("segkit::bias_relu", mutates_args=())
def bias_relu(values: Tensor, bias: Tensor) -> Tensor:
    """``relu(values + bias)``, bias (C,)."""
    from segkit.speed import triton_kernels as kernels

    return kernels.bias_relu(values, bias)


@torch.library.custom_op("segkit::bias_relu_backward", mutates_args=())
def bias_relu_backward(gradient: Tensor, result: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients with respect to values and bias."""
    from segkit.speed import triton_kernels as kernels

    return kernels.bias_relu_backward(_ordered(gradient), result)


@torch.library.custom_op("segkit::bias_relu_pool", mutates_args=())
def bias_relu_pool(values: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """2×2 maximum pooling of ``relu(values + bias)``, and which of the four each maximum is (uint8)."""
    from segkit.speed import triton_kernels as kernels

    return kernels.bias_relu_pool(values, bias)


@torch.library.custom_op("segkit::bias_relu_pool_backward", mutates_args=())
def bias_relu_pool_backward(gradient: Tensor, result: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients with respect to values and bias."""
    from segkit.speed import triton_kernels as kernels

    return kernels.bias_relu_pool_backward(_ordered(gradient), result, which)


@torch.library.custom_op("segkit::first_layer", mutates_args=())
def first_layer(image: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
    """``conv2d(image, weight, bias, padding=1)`` of a picture of three channels, and the ReLU of it."""
    from segkit.speed import triton_first_layer as kernels

    return kernels.first_layer(image, weight, bias, relu)


@torch.library.custom_op("segkit::first_layer_gradients", mutates_args=())
def first_layer_gradients(gradient: Tensor, result: Tensor, image: Tensor, relu: bool) -> tuple[Tensor, Tensor]:
    """Gradients with respect to weight and bias, float32."""
    from segkit.speed import triton_first_layer as kernels

    return kernels.first_layer_gradients(_ordered(gradient), result, image, relu)


def _ordered(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)


@bias_relu.register_fake
def _(values: Tensor, bias: Tensor) -> Tensor:
    return torch.empty_like(values)


@bias_relu_backward.register_fake
def _(gradient: Tensor, result: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(result), result.new_empty(result.shape[1], dtype=torch.float32)


@bias_relu_pool.register_fake
def _(values: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    batch, channels, height, width = values.shape
    result = _ordered(values.new_empty(batch, channels, height // 2, width // 2))
    return result, torch.empty_like(result, dtype=torch.uint8)


@bias_relu_pool_backward.register_fake
def _(gradient: Tensor, result: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    batch, channels, height, width = result.shape
    values = _ordered(result.new_empty(batch, channels, 2 * height, 2 * width))
    return values, result.new_empty(channels, dtype=torch.float32)


@first_layer.register_fake
def _(image: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
    return _ordered(image.new_empty(image.shape[0], weight.shape[0], *image.shape[2:]))


@first_layer_gradients.register_fake
def _(gradient: Tensor, result: Tensor, image: Tensor, relu: bool) -> tuple[Tensor, Tensor]:
    out, channels = result.shape[1], image.shape[1]
    weight = result.new_empty(out, 3, 3, channels, dtype=torch.float32).permute(0, 3, 1, 2)
    return weight, result.new_empty(out, dtype=torch.float32)


def _keep_result(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(output)
    ctx.bias_dtype = inputs[1].dtype


def _keep_pooled(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*output)
    ctx.mark_non_differentiable(output[1])
    ctx.bias_dtype = inputs[1].dtype


def _keep_first(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    image, weight, bias, relu = inputs
    ctx.save_for_backward(output, image)
    ctx.dtypes, ctx.relu = (weight.dtype, bias.dtype), relu


def _bias_relu_vjp(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
    values, bias = bias_relu_backward(gradient, *ctx.saved_tensors)
    return values, bias.to(ctx.bias_dtype)


def _bias_relu_pool_vjp(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor, Tensor]:
    values, bias = bias_relu_pool_backward(gradient, *ctx.saved_tensors)
    return values, bias.to(ctx.bias_dtype)


def _first_layer_vjp(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, None]:
    weight, bias = first_layer_gradients(gradient, *ctx.saved_tensors, ctx.relu)
    of_weight, of_bias = ctx.dtypes
    return None, weight.to(of_weight), bias.to(of_bias), None


bias_relu.register_autograd(_bias_relu_vjp, setup_context=_keep_result)
bias_relu_pool.register_autograd(_bias_relu_pool_vjp, setup_context=_keep_pooled)
first_layer.register_autograd(_first_layer_vjp, setup_context=_keep_first)
