"""Layers of any network swapped in place for ones that take fewer passes over a GPU's memory.

Swapped are, in an ``nn.Sequential``, a convolution with the batch normalisation or ReLU (and 2×2 maximum pooling) right
after it, blocks of torchvision's ResNets, and anywhere a convolution with a bias. Names, parameters and the
positions of layers stay. A swapped layer computes with torch's own operations wherever the kernels do not apply, on the
CPU and in fp32 above all.

A module that takes something from within a Sequential, between a convolution and its pooling, gets another map then.
Who accelerates holds the network's results against those from before (`RecordedStep` and `InferenceNetwork` do).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.resnet import BasicBlock, Bottleneck

from segkit.speed import fused_norm, fused_ops
from segkit.speed.convolution import convolve

IN_ORDER = (nn.Sequential, IntermediateLayerGetter)
"""Modules that apply their children one after the other."""

BLOCKS = (BasicBlock, Bottleneck)
"""Torchvision's, of ResNets."""


class FusedConv(nn.Conv2d):
    """A convolution together with the layers after it that it took in; shares its parameters.

    Args:
        layers: the convolution, then none, or a ReLU, or a ReLU and 2×2 maximum pooling.
    """

    def __init__(self, *layers: nn.Module) -> None:
        nn.Module.__init__(self)
        # All that the convolution has; with the very dictionary of parameters, into which others may be put.
        self.__dict__.update(vars(layers[0]))
        self.relu, self.pool = len(layers) > 1, len(layers) > 2
        self.plain = layers  # in a tuple, where nn.Module looks for no submodules

    def forward(self, image: Tensor) -> Tensor:
        """As the layers one after the other: (B, C, H, W), with pooling (B, C, H // 2, W // 2)."""
        if not fused_ops.applies(image, self):
            image = super().forward(image)
            for layer in self.plain[1:]:
                image = layer(image)
            return image
        if self.relu and not self.pool and fused_ops.is_first_layer(image, self):
            return fused_ops.first_layer_of(image, self, relu=True)
        values = convolve(image, self)
        assert self.bias is not None
        if not self.relu:
            return fused_ops.with_bias(values, self.bias)
        values = values.contiguous(memory_format=torch.channels_last)
        if not self.pool:
            return fused_ops.bias_relu(values, self.bias)
        if values.shape[-2] % 2 or values.shape[-1] % 2:  # the kernel takes whole squares
            return F.max_pool2d(fused_ops.bias_relu(values, self.bias), 2)
        return fused_ops.bias_relu_pool(values, self.bias)[0]


class HeldConv(nn.Conv2d):
    """Keeps a convolution's place and parameters; the `ConvNorm` after it computes it.

    Args:
        layers: the convolution, batch normalisation, and a ReLU if there is one.
    """

    def __init__(self, *layers: nn.Module) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(vars(layers[0]))
        self.plain = layers

    def forward(self, image: Tensor) -> Tensor:
        return image


class ConvNorm(nn.BatchNorm2d):
    """Batch normalisation together with the convolution before it and the ReLU after it; shares its parameters.

    Args:
        layers: as `HeldConv` has them.
    """

    def __init__(self, *layers: nn.Module) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(vars(layers[1]))
        self.before, self.relu = layers[:1], len(layers) > 2  # a tuple, where nn.Module looks for no submodules

    def forward(self, image: Tensor) -> Tensor:
        """As the layers one after the other: (B, C, H, W)."""
        conv = cast(nn.Conv2d, self.before[0])
        if fused_norm.applies(image, conv, self):
            return fused_norm.conv_norm(image, conv, self, relu=self.relu)
        image = super().forward(conv(image))
        return F.relu(image) if self.relu else image


class FusedBlock(nn.Module):
    """A block of torchvision's ResNets: normalisation, sum and ReLU are one; shares its layers.

    Args:
        block: a `BasicBlock` or `Bottleneck`.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.__dict__.update(vars(block))
        self.plain = (block,)

    def forward(self, image: Tensor) -> Tensor:
        """As the block."""
        *first, last = pairs = _pairs(self)
        if not all(fused_norm.applies(image, *pair) for pair in pairs):  # one may be frozen
            return type(self.plain[0]).forward(self, image)
        kept = fused_norm.twin(image) if self.downsample is None else self.downsample(image)  # type: ignore[operator]
        for conv, norm in first:
            image = fused_norm.conv_norm(image, conv, norm)
        return fused_norm.conv_norm(image, *last, added=kept)


class FoldedBlock(nn.Module):
    """A block whose normalisations are folded into its convolutions, for prediction: bias, sum and ReLU are one.

    Args:
        block: a `BasicBlock` or `Bottleneck` with the folded convolutions in the normalisations' places.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.__dict__.update(vars(block))
        self.plain = (block,)

    def forward(self, image: Tensor) -> Tensor:
        """As the block, without gradients."""
        *first, last = _folded(self)
        if not fused_ops.applies(image, last) or torch.is_grad_enabled():
            return type(self.plain[0]).forward(self, image)
        kept = image if self.downsample is None else self.downsample(image)  # type: ignore[operator]
        for conv in first:
            image = fused_ops.finished(convolve(image, conv), conv, None)
        return fused_ops.finished(convolve(image, last), last, kept)


SWAPPED = (FusedConv, HeldConv, FusedBlock, FoldedBlock)
"""Those that know, as ``plain``, what stood in their place and right after it."""


def accelerate(network: nn.Module) -> list[str]:
    """Swap layers in place, those that are swapped already excepted.

    A layer with a hook stays as it is: the hook is to see what it saw.

    Returns:
        The names of the swapped convolutions and blocks.
    """
    swapped = []
    for path, module in list(network.named_modules()):
        for name, layers in _patterns(module):
            names = list(module._modules)
            start = names.index(name)
            for place, other in zip(names[start:], _in_place_of(layers), strict=False):
                module._modules[place] = other
            swapped.append(f"{path}.{name}".lstrip("."))
    return swapped


def _in_place_of(layers: Sequence[nn.Module]) -> list[nn.Module]:
    others: list[nn.Module]
    if type(layers[0]) in BLOCKS:
        others = [FoldedBlock(layers[0]) if _folded(layers[0]) else FusedBlock(layers[0])]
    elif len(layers) > 1 and isinstance(layers[1], nn.BatchNorm2d):
        others = [HeldConv(*layers), ConvNorm(*layers)]
    else:
        others = [FusedConv(*layers)]
    return [*others, *(nn.Identity() for _ in layers[len(others) :])]


def restore(network: nn.Module) -> None:
    """Put back every layer that `accelerate` swapped."""
    for module in list(network.modules()):
        names = list(module._modules)
        for index, name in enumerate(names):
            fused = module._modules[name]
            if isinstance(fused, SWAPPED):
                for place, layer in zip(names[index:], fused.plain, strict=False):
                    module._modules[place] = layer
                    layer.training = fused.training


def idle_biases(network: nn.Module) -> list[str]:
    """Names of convolutions' biases that a normalisation takes away again: of a swapped one the gradient is 0."""
    found = [
        path for path, module in network.named_modules() if isinstance(module, HeldConv) and module.bias is not None
    ]
    return [f"{path}.bias" for path in found]


def has_hooks(module: nn.Module) -> bool:
    """Whether something is called before or after the module's forward or backward pass."""
    kinds = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(kinds)


def _patterns(module: nn.Module) -> Iterator[tuple[str, list[nn.Module]]]:
    """Children that become one: the first one's name, and the layers."""
    if type(module) in BLOCKS:  # taken whole or not at all
        return
    children = [(name, child) for name, child in module._modules.items() if child is not None]
    for index, (name, child) in enumerate(children):
        if _is_block(child):
            yield name, [child]
        # Exactly torch's class: another one may compute something else.
        if type(child) is not nn.Conv2d or has_hooks(child):
            continue
        following = children[index + 1 :] if isinstance(module, IN_ORDER) else []
        layers = [child, *_taken_in(child, [layer for _, layer in following])]
        if len(layers) > 1 or child.bias is not None:
            yield name, layers


def _taken_in(conv: nn.Conv2d, following: Sequence[nn.Module]) -> Sequence[nn.Module]:
    """Those right after a convolution that it can be computed with."""
    free = list(takewhile(lambda layer: not has_hooks(layer), following))
    kinds: tuple[Callable[[nn.Module], bool], ...]
    if free and _is_norm_of(free[0], conv):
        kinds = (lambda layer: True, _is_relu)
    else:
        kinds = (_is_relu, _is_halving) if conv.bias is not None else ()
    fitting = takewhile(lambda pair: pair[0](pair[1]), zip(kinds, free, strict=False))
    return [layer for _, layer in fitting]


def _pairs(block: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """A ResNet block's convolutions, each with its normalisation, or what stands in their places."""
    layers = dict(block.named_children())
    return [(layers[f"conv{i}"], layers[f"bn{i}"]) for i in (1, 2, 3) if f"conv{i}" in layers]  # type: ignore[misc]


def _is_block(block: nn.Module) -> bool:
    if type(block) not in BLOCKS or any(has_hooks(part) for part in block.modules()):
        return False
    as_made = all(type(conv) is nn.Conv2d and _is_norm_of(norm, conv) for conv, norm in _pairs(block))
    return as_made or bool(_folded(block))


def _folded(block: nn.Module) -> list[nn.Conv2d]:
    """A ResNet block's convolutions in its normalisations' places; empty where they are not in all of them."""
    pairs = _pairs(block)
    folded = [norm for conv, norm in pairs if type(conv) is nn.Identity and type(norm) is nn.Conv2d]
    return folded if len(folded) == len(pairs) else []  # type: ignore[return-value]


def _is_norm_of(layer: nn.Module, conv: nn.Conv2d) -> bool:
    return fused_norm.is_usual(layer) and bool(layer.num_features == conv.out_channels)


def _is_relu(layer: nn.Module) -> bool:
    return type(layer) is nn.ReLU


def _is_halving(layer: nn.Module) -> bool:
    """Whether it is maximum pooling over squares of 2×2 that do not overlap."""
    if type(layer) is not nn.MaxPool2d or layer.ceil_mode or layer.return_indices:
        return False
    asked = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    return [pair if isinstance(pair, tuple) else (pair, pair) for pair in asked] == [(2, 2), (2, 2), (0, 0), (1, 1)]
