"""Layers of any network swapped in place for ones that take fewer passes over a GPU's memory.

Swapped are, in an ``nn.Sequential``, a convolution and the ReLU (and 2×2 maximum pooling) right after it, and anywhere
a convolution with a wide kernel. Names, parameters and the positions of layers stay. A swapped layer computes with
torch's own operations wherever the kernels do not apply, on the CPU and in fp32 above all.

A module that takes something from within a Sequential, between a convolution and its pooling, gets another map then.
Who accelerates holds the network's results against those from before (`RecordedStep` and `InferenceNetwork` do).
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.speed import fused_ops
from segkit.speed.conv_as_matmul import conv_as_matmul

WIDE = 5
"""Width of a kernel from which a convolution over a small map is worth taking as matrix products."""
SMALL = 4
"""A map is small that is at most so many kernels high: the windows that are laid out hold it as often as the kernel is
wide, and the fewer of them lie at its edge, the less there is to gain."""


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
            return fused_ops.first_layer_of(image, self)
        image = image.to(fused_ops.compute_dtype(image, self))
        weight = self.weight.to(image.dtype)
        if is_wide(self) and image.shape[-2] <= SMALL * self.kernel_size[0]:
            values = conv_as_matmul(image, weight)
        else:
            values = self._conv_forward(image, weight, None)
        assert self.bias is not None
        if not self.relu:
            return values + self.bias.to(values.dtype)[:, None, None]
        values = values.contiguous(memory_format=torch.channels_last)
        if not self.pool:
            return fused_ops.bias_relu(values, self.bias)
        if values.shape[-2] % 2 or values.shape[-1] % 2:  # the kernel takes whole squares
            return F.max_pool2d(fused_ops.bias_relu(values, self.bias), 2)
        return fused_ops.bias_relu_pool(values, self.bias)[0]


def accelerate(network: nn.Module) -> list[str]:
    """Swap layers in place, those that are swapped already excepted.

    A layer with a hook stays as it is: the hook is to see what it saw.

    Returns:
        The names of the swapped convolutions.
    """
    swapped = []
    for path, module in list(network.named_modules()):
        for name, layers in _patterns(module):
            names = list(module._modules)
            start = names.index(name)
            module._modules[name] = FusedConv(*layers)
            for taken in names[start + 1 : start + len(layers)]:
                module._modules[taken] = nn.Identity()
            swapped.append(f"{path}.{name}".lstrip("."))
    return swapped


def restore(network: nn.Module) -> None:
    """Put back every layer that `accelerate` swapped."""
    for module in list(network.modules()):
        names = list(module._modules)
        for index, name in enumerate(names):
            fused = module._modules[name]
            if isinstance(fused, FusedConv):
                for place, layer in zip(names[index:], fused.plain, strict=False):
                    module._modules[place] = layer


def is_wide(layer: nn.Conv2d) -> bool:
    """Whether a convolution is one that `conv_as_matmul` can compute, and has a kernel worth it."""
    height, width = layer.kernel_size
    same = layer.padding in ("same", (height // 2, height // 2))
    plain = layer.stride == layer.dilation == (1, 1) and layer.groups == 1 and layer.padding_mode == "zeros"
    return height == width and height % 2 == 1 and height >= WIDE and same and plain


def has_hooks(module: nn.Module) -> bool:
    """Whether something is called before or after the module's forward or backward pass."""
    kinds = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(kinds)


def _patterns(module: nn.Module) -> Iterator[tuple[str, list[nn.Module]]]:
    """Children that become one: the first one's name, and the layers."""
    children = list(module._modules.items())
    for index, (name, conv) in enumerate(children):
        # Exactly torch's class: another one may compute something else.
        if type(conv) is not nn.Conv2d or conv.bias is None or has_hooks(conv):
            continue
        layers: list[nn.Module] = [conv]
        for _, following in children[index + 1 : index + 3] if isinstance(module, nn.Sequential) else []:
            if following is None or has_hooks(following) or not (_is_relu, _is_halving)[len(layers) - 1](following):
                break
            layers.append(following)
        if len(layers) > 1 or is_wide(conv):
            yield name, layers


def _is_relu(layer: nn.Module) -> bool:
    return type(layer) is nn.ReLU


def _is_halving(layer: nn.Module) -> bool:
    """Whether it is maximum pooling over squares of 2×2 that do not overlap."""
    if type(layer) is not nn.MaxPool2d or layer.ceil_mode or layer.return_indices:
        return False
    asked = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    return [pair if isinstance(pair, tuple) else (pair, pair) for pair in asked] == [(2, 2), (2, 2), (0, 0), (1, 1)]
