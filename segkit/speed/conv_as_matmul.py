"""A convolution with a wide kernel over a small map, such as VGG's fc6 (7×7 over 5×18), as matrix products.

cuDNN takes such a map for a picture: it multiplies the zeros around it too, which for fc6 at 160×576 are a third of all
products, and reaches less than half of what the same GPU does in a matrix product. Here every output row is one product
of the input rows that it really sees with the part of the kernel that meets them. Where that would leave products too
small to fill a GPU (few pictures at a time), one product does all rows, zeros included.

Inputs are (B, C, H, W); memory is channels-last throughout.
"""

import torch
from torch import Tensor

FILLS = 128
"""Rows of a product from which on a GPU's matrix units are filled."""


@torch.library.custom_op("segkit::conv_as_matmul", mutates_args=())
def conv_as_matmul(image: Tensor, weight: Tensor) -> Tensor:
    """``conv2d(image, weight, padding=k // 2)`` without bias, on a GPU.

    Args:
        image: (B, C, H, W).
        weight: (O, C, k, k) of the same dtype, k odd.

    Returns:
        (B, O, H, W).
    """
    batch, _, height, width = image.shape
    out, _, size, _ = weight.shape
    kernel = _kernel(weight)
    if batch * width < FILLS:
        result = _windows(image, size).flatten(1) @ kernel.flatten(1).t()
    else:
        rows = _rows(image, size)
        result = image.new_empty(batch * width, height, out)
        for row in range(height):
            seen, taps = _met(row, height, size)
            torch.mm(rows[:, seen].flatten(1), kernel[:, taps].flatten(1).t(), out=result[:, row])
    return result.view(batch, width, height, out).permute(0, 3, 2, 1).contiguous(memory_format=torch.channels_last)


@torch.library.custom_op("segkit::conv_as_matmul_input", mutates_args=())
def input_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """Gradient with respect to the image (B, C, H, W), from that of the result (B, O, H, W)."""
    from segkit.speed.triton_kernels import sum_windows

    batch, out, height, width = gradient.shape
    _, channels, size, _ = weight.shape
    kernel, rows = _kernel(weight), _by_column(gradient)
    if batch * width < FILLS:
        windows = rows.view(-1, out) @ kernel.flatten(1)
    else:
        # What no product writes is what no input row gets anything from.
        windows = gradient.new_empty(batch * width, height, size, size * channels)
        for row in range(height):
            _, taps = _met(row, height, size)
            torch.mm(rows[:, row], kernel[:, taps].flatten(1), out=windows[:, row, taps].flatten(1))
    summed = sum_windows(windows.view(batch, width, height, size, size, channels))
    return summed.permute(0, 3, 1, 2)


@torch.library.custom_op("segkit::conv_as_matmul_weight", mutates_args=())
def weight_gradient(gradient: Tensor, image: Tensor, size: int) -> Tensor:
    """Gradient with respect to the weight (O, C, k, k), ``size`` = k, from that of the result (B, O, H, W)."""
    batch, out, height, width = gradient.shape
    channels = image.shape[1]
    if batch * width < FILLS:
        weight = _by_column(gradient).view(-1, out).t() @ _windows(image, size).flatten(1)
    else:
        # The height comes first, so that the rows that one row of the kernel meets lie together.
        results = gradient.permute(2, 0, 3, 1).reshape(height, batch * width, out)
        rows = _rows(image, size).view(batch * width, height, -1).transpose(0, 1).contiguous()
        weight = gradient.new_empty(out, size, size * channels)
        for tap in range(size):
            shift = tap - size // 2
            first, end = max(0, -shift), min(height, height - shift)
            if first >= end:  # the kernel is higher than the map: no row of the map meets this one
                weight[:, tap] = 0
                continue
            products = results[first:end].flatten(0, 1).t(), rows[first + shift : end + shift].flatten(0, 1)
            torch.mm(*products, out=weight[:, tap])
    return weight.view(out, size, size, channels).permute(0, 3, 1, 2)


def _met(row: int, height: int, size: int) -> tuple[slice, slice]:
    """The input rows that an output row sees, and the rows of the kernel that meet them."""
    reach = size // 2
    seen = slice(max(0, row - reach), min(height, row + reach + 1))
    return seen, slice(seen.start - row + reach, seen.stop - row + reach)


def _kernel(weight: Tensor) -> Tensor:
    """(O, k, k·C): the kernel's rows, each with all columns and channels."""
    return weight.permute(0, 2, 3, 1).contiguous().flatten(2)


def _by_column(gradient: Tensor) -> Tensor:
    """(B·W, H, O) of (B, O, H, W)."""
    batch, out, height, width = gradient.shape
    return gradient.permute(0, 3, 2, 1).contiguous().view(batch * width, height, out)


def _rows(image: Tensor, size: int) -> Tensor:
    """(B·W, H, k·C): for each column, the ``size`` columns around it of every row, zeros beyond the map."""
    batch, channels, height, width = image.shape
    padded = image.new_zeros(batch, height, width + size - 1, channels)
    padded[:, :, size // 2 : size // 2 + width] = image.permute(0, 2, 3, 1)
    per_batch, per_row, per_column, _ = padded.stride()
    windows = padded.as_strided((batch, width, height, size * channels), (per_batch, per_column, per_row, 1))
    return windows.reshape(batch * width, height, size * channels)


def _windows(image: Tensor, size: int) -> Tensor:
    """(B·W·H, k, k·C): the whole window around each position, zeros beyond the map."""
    batch, channels, height, width = image.shape
    padded = image.new_zeros(batch, height + size - 1, width + size - 1, channels)
    reach = size // 2
    padded[:, reach : reach + height, reach : reach + width] = image.permute(0, 2, 3, 1)
    per_batch, per_row, per_column, _ = padded.stride()
    windows = padded.as_strided(
        (batch, width, height, size, size * channels), (per_batch, per_column, per_row, per_row, 1)
    )
    return windows.reshape(batch * width * height, size, size * channels)


# What torch.compile and autograd have to know: shapes, memory order, gradients.


def _like(batch: int, channels: int, height: int, width: int, tensor: Tensor) -> Tensor:
    return tensor.new_empty(batch, channels, height, width).contiguous(memory_format=torch.channels_last)


@conv_as_matmul.register_fake
def _(image: Tensor, weight: Tensor) -> Tensor:
    return _like(image.shape[0], weight.shape[0], image.shape[2], image.shape[3], image)


@input_gradient.register_fake
def _(gradient: Tensor, weight: Tensor) -> Tensor:
    return _like(gradient.shape[0], weight.shape[1], gradient.shape[2], gradient.shape[3], gradient)


@weight_gradient.register_fake
def _(gradient: Tensor, image: Tensor, size: int) -> Tensor:
    return _like(gradient.shape[1], image.shape[1], size, size, gradient)


def _remember(ctx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs)


def _backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[no-untyped-def]
    image, weight = ctx.saved_tensors
    of_image, of_weight = ctx.needs_input_grad
    return (
        input_gradient(gradient, weight) if of_image else None,
        weight_gradient(gradient, image, weight.shape[-1]) if of_weight else None,
    )


conv_as_matmul.register_autograd(_backward, setup_context=_remember)
