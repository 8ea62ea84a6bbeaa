"""What a network will take, found before it takes it: built and run without memory, on torch's ``meta`` device."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from segkit.errors import UserError

RANDOM = {Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.kaiming_uniform_}
"""What draws the random numbers that layers begin with."""


class Unfilled(TorchFunctionMode):
    """Within it, layers are made without random numbers: VGG16's 134 million take a second. Weights follow."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if function in RANDOM:
            return args[0] if args else named["tensor"]
        return function(*args, **named)


def without_memory(build: Callable[[], nn.Module]) -> nn.Module | None:
    """The network that ``build`` gives, whose tensors have sizes alone; None where it cannot be built so.

    Raises:
        UserError: as ``build``.
    """
    try:
        with torch.device("meta"):
            return build()
    except UserError:
        raise
    except Exception:  # constructors that look at values
        return None


def weight_bytes(network: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


def activation_bytes(network: nn.Module, shape: tuple[int, ...], training: bool) -> int | None:
    """Bytes that a batch of ``shape`` (B, 3, H, W) takes at least, in 32 bits; None where nobody can tell.

    In training what is kept for the backward pass, else the largest input and output of one layer.

    Args:
        network: of ``without_memory``.
    """
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        if not isinstance(value, nn.Parameter):
            kept[id(value.untyped_storage())] = value.untyped_storage().nbytes()
            alive.append(value)
        return value

    def see(module: nn.Module, given: tuple[Any, ...], result: Any) -> None:
        values = [value for value in (*given, result) if isinstance(value, Tensor)]
        kept[0] = max(kept.get(0, 0), sum(value.numel() * value.element_size() for value in values))

    alive: list[Tensor] = []  # else a storage's number is given to the next one
    layers = [] if training else [each for each in network.modules() if not list(each.children())]
    hooks = [each.register_forward_hook(see) for each in layers]
    try:
        network.train(training)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value), torch.set_grad_enabled(training):
            network(torch.empty(shape, device="meta"))
    except Exception:  # layers that look at values, or that the meta device does not know
        return None
    finally:
        for hook in hooks:
            hook.remove()
    return sum(kept.values())
