"""Large weights held twice: in fp32, as the optimiser updates them, and in bfloat16, as the network computes with them.

Under autocast a weight is rounded anew at every step and its gradient is widened, three more passes over memory. Here a
copy in bfloat16 takes part in forward and backward in the weight's place, its gradient stays in bfloat16, and the
update of the weight sets it anew. What is computed is the same, and so is the optimiser's state.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from segkit.speed.averages import Averages

LARGE = 1 << 15
"""Values in a weight from which a copy pays: the kernels of VGG16 but the first layer's."""

ONE_PASS = (torch.optim.Adam, torch.optim.AdamW)
"""Optimisers for which one kernel updates weight, copy and state. A subclass of theirs may do something else."""


def large_weights(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, nn.Parameter]:
    """The weights by name of which a copy pays: large ones that are updated."""
    updated = {weight for group in optimizer.param_groups for weight in group["params"]}
    return {
        name: weight
        for name, weight in network.named_parameters()
        if weight.numel() >= LARGE
        and weight.dtype == torch.float32
        and weight.requires_grad
        and weight in updated
        # What lies in memory with gaps or overlaps, a copy would not lie like.
        and torch.empty_like(weight, device="meta").stride() == weight.stride()
    }


def updates_in_one_pass(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it computes what the kernel does that updates a weight and all that belongs to it at once."""
    return type(optimizer) in ONE_PASS and not any(g["amsgrad"] or g["maximize"] for g in optimizer.param_groups)


class HalfPrecisionWeights:
    """bfloat16 copies of weights, updated with them.

    Args:
        weights: by the names under which the network has them.
        optimizer: any of torch's kind. `Adam` and `AdamW` update these weights in one pass over memory; with another
            one gradients are widened, it takes its own step, and the copies are made anew.

        average: with every step its averages are brought up to date, where `updates_in_one_pass` holds.

    Attributes:
        copies: name → the copy, which gets the gradient.
    """

    def __init__(
        self, weights: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, average: Averages | None = None
    ) -> None:
        self.optimizer, self.average = optimizer, average
        self.copies = {name: weight.detach().bfloat16().requires_grad_() for name, weight in weights.items()}
        self.pairs = {weight: self.copies[name] for name, weight in weights.items()}
        self.one_pass = updates_in_one_pass(optimizer)
        self._averaged: set[Tensor] = set()

    def zero_grad(self) -> None:
        """Forget all gradients, those of the optimiser's other weights too."""
        self.optimizer.zero_grad()
        for copy in self.copies.values():
            copy.grad = None

    @torch.no_grad()
    def refresh(self) -> None:
        """Round the weights anew, after something else than `step` has changed them."""
        if self.pairs:
            torch._foreach_copy_(list(self.copies.values()), list(self.pairs))

    @torch.no_grad()
    def step(self) -> None:
        """Update all of the optimiser's weights. ``lr`` of a group may be a float32 scalar on their device."""
        # As torch has it: what took no part in the loss is left alone.
        taking_part = {weight: copy for weight, copy in self.pairs.items() if copy.grad is not None}
        if self.one_pass:
            self.optimizer.step()  # the other weights: these have no gradient of their own
            if taking_part:
                self.begin({*taking_part.values()})
            for copy in taking_part.values():
                assert copy.grad is not None
                self.update(copy, copy.grad)
            if self.average is not None:
                self.average.update(self._averaged)
                self._averaged = set()
            return
        for weight, copy in taking_part.items():
            weight.grad = torch.empty_like(weight).copy_(copy.grad)  # type: ignore[arg-type]
        self.optimizer.step()
        for weight in taking_part:
            weight.grad = None
        self.refresh()

    @torch.no_grad()
    def begin(self, copies: Collection[Tensor]) -> None:
        """Count a step of the weights that have these copies; `update` takes it for each. In one pass alone."""
        states = [self._state(weight) for weight in self.pairs if self.pairs[weight] in copies]
        if states:
            torch._foreach_add_([state["step"] for state in states], 1)
        self._begun: dict[Tensor, tuple[nn.Parameter, Tensor, Tensor, dict[str, Any]]] = {}
        for group in self.optimizer.param_groups:
            weights = [weight for weight in group["params"] if weight in self.pairs and self.pairs[weight] in copies]
            if not weights:
                continue
            # In float64, as torch has it: 1 − 0.999^t is small.
            steps = torch.stack([self.optimizer.state[weight]["step"] for weight in weights]).double()
            steps = steps.to(weights[0].device)
            corrections = torch.stack([1 - beta**steps for beta in group["betas"]], 1).float()
            rate = torch.as_tensor(group["lr"], dtype=torch.float32, device=steps.device)
            for weight, correction in zip(weights, corrections, strict=True):
                self._begun[self.pairs[weight]] = weight, rate, correction, group

    @torch.no_grad()
    def update(self, copy: Tensor, gradient: Tensor) -> None:
        """Update the weight that has this copy, in one pass over memory, after `begin`."""
        from segkit.speed.triton_adam import adam_update

        weight, rate, correction, group = self._begun[copy]
        state = self.optimizer.state[weight]
        average = None if self.average is None else self.average.of.get(weight)
        if average is not None and _order(average) == _order(weight):
            self._averaged.add(weight)
        else:
            average = None
        share = None if self.average is None else self.average.share
        adam_update(
            weight, copy, _ordered_as(weight, gradient), state["exp_avg"], state["exp_avg_sq"], rate, correction,
            average, share, group["betas"], group["eps"], group["weight_decay"], group["decoupled_weight_decay"],
        )  # fmt: skip

    def _state(self, weight: Tensor) -> dict[str, Any]:
        """The optimiser's state of a weight, begun where there is none, its moments in the weight's order in memory."""
        state = self.optimizer.state[weight]
        if not state:
            state["step"] = torch.zeros((), device=weight.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        for name in ("exp_avg", "exp_avg_sq"):
            state[name].data = _ordered_as(weight, state[name])  # the tensor stays the same for who holds it
        return state


def _ordered_as(weight: Tensor, values: Tensor) -> Tensor:
    """``values`` with the order in memory that ``weight`` has, which the kernel takes for granted."""
    if _order(values) == _order(weight):
        return values
    return torch.empty_like(weight, dtype=values.dtype).copy_(values)


def _order(tensor: Tensor) -> list[tuple[int, int]]:
    """What says in which order the values lie in memory: sizes and strides, without axes of one value."""
    return [pair for pair in zip(tensor.shape, tensor.stride(), strict=True) if pair[0] > 1]
