"""What encoders share: feature maps taken from a sequence of layers, other inputs than pictures of three channels."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

Channels = Annotated[int, Gt(0), Le(65536)]
"""Of a layer; 16 times as many as in the widest layers that are in use."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""RGB mean, for values 0…1, under which torchvision trained its weights."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""RGB standard deviation, for values 0…1, under which torchvision trained its weights."""


def run_features(layers: nn.Sequential, places: Sequence[int], image: Tensor) -> list[Tensor]:
    """Apply all layers in turn; what comes out of those at ``places`` are the feature maps."""
    maps = []
    for place, layer in enumerate(layers):
        image = layer(image)
        if place in places:
            maps.append(image)
    return maps


def with_input_channels(network: nn.Module, in_channels: int) -> None:
    """Put a convolution over ``in_channels``, started Kaiming normal over the fan-out, in the first one's place."""
    name, first = next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))
    if first.in_channels == in_channels:
        return
    other = nn.Conv2d(
        in_channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
        device=first.weight.device,
    )
    nn.init.kaiming_normal_(other.weight, mode="fan_out", nonlinearity="relu")
    if other.bias is not None:
        nn.init.zeros_(other.bias)
    network.set_submodule(name, other)


def first_kernel(kernel: Tensor, in_channels: int) -> Tensor:
    """A pretrained first kernel (out, 3, h, w) for another number of input channels.

    More than three: RGB come first and keep theirs, the rest start at zero, so that the network begins as it was on RGB
    alone. Fewer: each gets the mean over RGB times 3/in_channels, which on grey pictures gives the sum that RGB gave.
    """
    out, rgb, *size = kernel.shape
    if in_channels > rgb:
        return torch.cat([kernel, kernel.new_zeros(out, in_channels - rgb, *size)], dim=1)
    return kernel.mean(1, keepdim=True).repeat(1, in_channels, 1, 1) * (rgb / in_channels)


def normalisation(
    in_channels: int, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per input channel, for values 0…1: those for RGB, then 0.5 and 0.25.

    With fewer than three channels, the means over RGB.
    """
    if in_channels < 3:
        return (sum(mean) / 3,) * in_channels, (sum(std) / 3,) * in_channels
    return (*mean, *(0.5,) * (in_channels - 3)), (*std, *(0.25,) * (in_channels - 3))
