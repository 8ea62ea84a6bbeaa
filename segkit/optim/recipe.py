"""How the network is optimised: an optimiser of torch's or another, its parameter groups and its schedule."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from segkit.errors import UserError
from segkit.optim.groups import parameter_groups
from segkit.optim.schedules import Schedule, learning_rate_factor

FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
"""Optimisers whose update of all parameters is one launch on a GPU."""


# Weights have 32 bits, whose largest number is 3.4e38.
Rate = Annotated[float, Gt(0), Le(1e38)]
Decay = Annotated[float, Ge(0), Le(1e38)]


class Optimization:
    """A recipe, applied to a network by :meth:`build`.

    Args:
        algorithm: a class like ``torch.optim.Adam``, or a partial call of one with arguments of its own (``betas``).
        learning_rate: the highest, after the warm-up.
        weight_decay: of kernels. What it means is the algorithm's business: Adam and SGD add weight_decay·w to the
            gradient (L2), AdamW takes learning_rate·weight_decay·w off the weight (Loshchilov and Hutter 2019).
        decoder_decay, encoder_factor, decay_all: see :func:`segkit.optim.groups.parameter_groups`.
        schedule, warmup: see :func:`segkit.optim.schedules.learning_rate_factor`.
    """

    def __init__(
        self,
        algorithm: Callable[..., torch.optim.Optimizer],
        learning_rate: Rate = 1e-4,
        weight_decay: Decay = 0.0,
        decoder_decay: Decay | None = None,
        encoder_factor: Rate = 1.0,
        decay_all: bool = False,
        schedule: Schedule = "constant",
        warmup: Annotated[int, Ge(0), Lt(2147483648)] | Annotated[float, Ge(0), Lt(1)] = 0,
    ) -> None:
        self.algorithm = algorithm
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.decoder_decay = decoder_decay
        self.encoder_factor = encoder_factor
        self.decay_all = decay_all
        self.schedule: Schedule = schedule
        self.warmup = warmup

    def build(self, network: nn.Module, total_steps: int) -> tuple[torch.optim.Optimizer, LambdaLR]:
        """An optimiser of all of the network's parameters, and its schedule, to be stepped after every step of it.

        Args:
            network: on the device that it is trained on.
            total_steps: of the optimiser.

        Raises:
            UserError: settings that the algorithm has no use for, or that are set twice.
        """
        taken = inspect.signature(self.algorithm).parameters
        for key, own in {"lr": "learning_rate", "weight_decay": "weight_decay"}.items():
            if key in getattr(self.algorithm, "keywords", {}):
                raise UserError(f"optimizer.algorithm.{key}: give optimizer.{own} instead")
        if "weight_decay" not in taken and (self.weight_decay or self.decoder_decay):
            raise UserError("optimizer.weight_decay: this algorithm has none; give 0, and decoder_decay=null")
        groups = parameter_groups(
            network, self.learning_rate, self.weight_decay, self.decoder_decay, self.encoder_factor, self.decay_all
        )
        on_gpu = all(parameter.is_cuda for parameter in network.parameters())
        optimizer = self.algorithm(groups, **kernels(self.algorithm, on_gpu))
        optimizer.register_load_state_dict_pre_hook(_keep_kernels)
        return optimizer, LambdaLR(optimizer, learning_rate_factor(self.schedule, self.warmup, total_steps))


def kernels(algorithm: Callable[..., torch.optim.Optimizer], on_gpu: bool) -> dict[str, bool]:
    """What an algorithm is to be asked for besides: on a GPU one launch for all parameters.

    The numbers are those of the plain update to rounding.
    """
    # Others have the argument too, but not the kernel; and whoever has chosen one means it.
    chosen = {"fused", "foreach", "differentiable"} & set(getattr(algorithm, "keywords", {}))
    usual = on_gpu and not chosen and getattr(algorithm, "func", algorithm) in FUSED
    return {"fused": True} if usual else {}


def _keep_kernels(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A loaded state is updated as this device's are (``fused``), whatever the device that it was saved on."""
    own = [{key: group[key] for key in ("fused", "foreach") if key in group} for group in optimizer.param_groups]
    groups = [saved | kept for saved, kept in zip(state["param_groups"], own, strict=True)]
    return state | {"param_groups": groups}
