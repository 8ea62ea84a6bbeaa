"""Convolutions on the CPU whose weights are laid out once, with what follows them computed in the same pass.

The operators are those that torch.compile puts in their place; called like this they need no compiler.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from segkit.speed.accelerate import has_hooks

ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.Hardswish: "hardswish"}
"""What oneDNN computes on a convolution's result before it is written, by names that torch's functions have too."""

Swap = tuple[nn.Module, str, nn.Module]
"""A module, the name of a child, and what that was."""


class PackedConvolution(nn.Module):
    """A convolution whose weights oneDNN lays out once: for the first image's size; other sizes are computed rightly,
    but slower.

    nn.Conv2d has its weights laid out anew at every call, which for fc6 and fc7 takes longer than to multiply by them.

    Args:
        layer: in any dtype; images are cast to it.
        activation: of ``ACTIVATIONS``'s values, or none.
    """

    def __init__(self, layer: nn.Conv2d, activation: str = "none") -> None:
        super().__init__()
        self._weight = layer.weight.detach()
        self._bias = layer.bias
        self._geometry = layer.padding, layer.stride, layer.dilation, layer.groups
        self._activation = activation

    def forward(self, image: Tensor, added: Tensor | None = None) -> Tensor:
        """The layer's result, plus ``added`` of the same shape, and the activation of that."""
        image = image.to(self._weight.dtype, memory_format=torch.channels_last)
        if not self._weight.is_mkldnn:
            weight = self._weight.contiguous().to_mkldnn()
            self._weight = torch.ops.aten.mkldnn_reorder_conv2d_weight(weight, *self._geometry, image.shape)
        given = self._weight, self._bias, *self._geometry
        if added is None:
            return torch.ops.mkldnn._convolution_pointwise(image, *given, self._activation, [], "")
        added = added.to(self._weight.dtype, memory_format=torch.channels_last)
        if added.shape[-2:] == (1, 1):  # oneDNN "could not create a memory" for such a sum
            result = torch.ops.mkldnn._convolution_pointwise(image, *given, "none", [], "") + added
            return result if self._activation == "none" else getattr(F, self._activation)(result)
        activation = None if self._activation == "none" else self._activation
        return torch.ops.mkldnn._convolution_pointwise.binary(image, added, *given, "add", 1.0, activation, [], "")


class PackedBlock(nn.Module):
    """A block of torchvision's ResNets: the sum with its input, and the ReLU of it, within the last convolution.

    Args:
        convolutions: of its main path, in order.
        downsample: of the other path.
    """

    def __init__(self, convolutions: list[nn.Conv2d], downsample: nn.Module | None) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(PackedConvolution(conv, "relu") for conv in convolutions)
        self.downsample = downsample

    def forward(self, image: Tensor) -> Tensor:
        kept = image if self.downsample is None else self.downsample(image)
        *first, last = self.convolutions
        for conv in first:
            image = conv(image)
        result: Tensor = last(image, kept)
        return result


def pack(network: nn.Module, swaps: list[Swap]) -> None:
    """Put packed convolutions in the place of all; batch normalisation has been folded into them."""
    for module in list(network.modules()):
        for name, block in list(module.named_children()):
            if (found := _block(block)) is not None:
                swap(swaps, module, name, found)
    for module, (name, conv), (following, layer) in list(neighbours(network)):
        activation = ACTIVATIONS.get(type(layer))
        if isinstance(module, nn.Sequential) and _can_be_packed(conv) and activation and not has_hooks(layer):
            swap(swaps, module, name, PackedConvolution(conv, activation))
            swap(swaps, module, following, nn.Identity())
    for module in list(network.modules()):
        for name, layer in list(module.named_children()):
            if _can_be_packed(layer):
                swap(swaps, module, name, PackedConvolution(layer))


def neighbours(network: nn.Module) -> Iterator[tuple[nn.Module, tuple[str, nn.Module], tuple[str, nn.Module]]]:
    """Pairs of layers that a module registers one after the other: it, and their names with them."""
    for module in network.modules():
        for one, other in pairwise(module.named_children()):
            yield module, one, other


def swap(swaps: list[Swap], module: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of a child, which is noted."""
    swaps.append((module, name, module._modules[name]))  # type: ignore[arg-type]
    module._modules[name] = layer


def _block(block: nn.Module) -> PackedBlock | None:
    if type(block) not in (BasicBlock, Bottleneck) or any(has_hooks(part) for part in block.modules()):
        return None
    # Where folding has put them: the convolutions' own places hold identities.
    convolutions = [layer for name, layer in block.named_children() if name.startswith("bn")]
    if not all(map(_can_be_packed, convolutions)):
        return None
    return PackedBlock(convolutions, block.downsample)  # type: ignore[arg-type]


def _can_be_packed(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    plain = type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return plain and not has_hooks(layer)
