"""How the network is optimised: an optimiser of torch's or another, its parameter groups and its schedule."""

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from segkit.config.instantiate import import_subclass
from segkit.errors import UserError
from segkit.optim.groups import parameter_groups
from segkit.optim.schedules import Schedule, learning_rate_factor

OWN_KEYS = {
    "params": "optimizer.encoder_factor and its decays",
    "lr": "optimizer.learning_rate",
    "weight_decay": "optimizer.weight_decay",
}


class Optimization:
    """A recipe, applied to a network by :meth:`build`.

    Args:
        optimizer: dotted path of a class like ``torch.optim.Adam``.
        learning_rate: the highest, after the warm-up.
        weight_decay: of kernels. What it means is the optimiser's business: Adam and SGD add weight_decay·w to the
            gradient (L2), AdamW takes learning_rate·weight_decay·w off the weight (Loshchilov and Hutter 2019).
        decoder_decay, encoder_factor, decay_all: see :func:`segkit.optim.groups.parameter_groups`.
        schedule, warmup: see :func:`segkit.optim.schedules.learning_rate_factor`.
        arguments: the optimiser's own (``betas``, ``momentum``).
    """

    def __init__(
        self,
        optimizer: str = "torch.optim.Adam",
        learning_rate: Annotated[float, Gt(0)] = 1e-4,
        weight_decay: Annotated[float, Ge(0)] = 0.0,
        decoder_decay: Annotated[float, Ge(0)] | None = None,
        encoder_factor: Annotated[float, Gt(0)] = 1.0,
        decay_all: bool = False,
        schedule: Schedule = "constant",
        warmup: Annotated[int, Ge(0)] | Annotated[float, Ge(0), Lt(1)] = 0,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.decoder_decay = decoder_decay
        self.encoder_factor = encoder_factor
        self.decay_all = decay_all
        self.schedule: Schedule = schedule
        self.warmup = warmup
        self.arguments = {
            key: tuple(value) if isinstance(value, list) else value for key, value in (arguments or {}).items()
        }

    def build(self, network: nn.Module, total_steps: int) -> tuple[torch.optim.Optimizer, LambdaLR]:
        """An optimiser of all of the network's parameters, and its schedule, to be stepped after every step of it.

        Args:
            network: on the device that it is trained on.
            total_steps: of the optimiser.

        Raises:
            UserError: no such class, arguments that it does not take, an encoder's or decay's setting without use.
        """
        kind = import_subclass(self.optimizer, torch.optim.Optimizer, "optimizer.optimizer")
        taken = inspect.signature(kind).parameters
        self._check(taken)
        groups = parameter_groups(
            network, self.learning_rate, self.weight_decay, self.decoder_decay, self.encoder_factor, self.decay_all
        )
        # One launch for all parameters; the numbers are those of the plain update to rounding.
        on_gpu = all(parameter.is_cuda for parameter in network.parameters())
        fused = {"fused": True} if on_gpu and "fused" in taken else {}
        optimizer = kind(groups, **(fused | self.arguments))
        optimizer.register_load_state_dict_pre_hook(_keep_kernels)
        return optimizer, LambdaLR(optimizer, learning_rate_factor(self.schedule, self.warmup, total_steps))

    def _check(self, taken: Mapping[str, inspect.Parameter]) -> None:
        for key in self.arguments.keys() & OWN_KEYS:
            raise UserError(f"optimizer.arguments.{key}: give {OWN_KEYS[key]} instead")
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values()):
            return
        for key in self.arguments.keys() - taken.keys():
            there = ", ".join(name for name in taken if name not in OWN_KEYS)
            raise UserError(f"optimizer.arguments.{key}: {self.optimizer} has no such argument; it has {there}")
        if "weight_decay" not in taken and (self.weight_decay or self.decoder_decay):
            raise UserError(f"optimizer.weight_decay: {self.optimizer} has none; give 0, and decoder_decay=null")


def _keep_kernels(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A loaded state is updated as this device's are (``fused``), whatever the device that it was saved on."""
    own = [{key: group[key] for key in ("fused", "foreach") if key in group} for group in optimizer.param_groups]
    groups = [saved | kept for saved, kept in zip(state["param_groups"], own, strict=True)]
    return state | {"param_groups": groups}
