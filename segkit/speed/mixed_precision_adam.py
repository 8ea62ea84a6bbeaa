"""Adam for weights that the network computes with in fewer bits than they are kept in."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


class TwinAdam(torch.optim.Adam):
    """:class:`torch.optim.Adam`, and the same for weights that have a twin.

    A twin is a weight as the network computes with it, in bfloat16: it takes part in forward and backward in the
    weight's place, its gradient stays in bfloat16, and the update of the weight sets it anew. Under autocast that work
    is three more passes over a weight: it is rounded anew at every step, and its gradient is widened first.
    What is computed is the same, and so is the state that checkpoints hold.
    """

    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.twins: dict[Tensor, Tensor] = {}

    def set_twins(self, twins: Mapping[Tensor, Tensor]) -> None:
        """Update ``twins`` (weight → twin) from now on; they hold the rounded weights already."""
        self.twins = dict(twins)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, but a state from another kind of device is updated as this one's are (``fused``)."""
        pairs = zip(state_dict["param_groups"], self.param_groups, strict=True)
        groups = [{**saved, "fused": own["fused"]} for saved, own in pairs]
        super().load_state_dict({**state_dict, "param_groups": groups})

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        for twin in self.twins.values():
            twin.grad = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all weights. ``lr`` of a group may be a float32 scalar on the weights' device."""
        loss = super().step(closure)  # weights with a twin have no gradient of their own
        # As torch has it: what took no part in the loss is left alone.
        held = {weight: twin for weight, twin in self.twins.items() if twin.grad is not None}
        if not held:
            return loss
        for weight in held:
            self._begin(weight)
        torch._foreach_add_([self.state[weight]["step"] for weight in held], 1)
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight in held]
            if weights:
                self._update(weights, group)
        return loss

    def _begin(self, weight: Tensor) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), device=weight.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)

    def _update(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        from segkit.speed.triton_kernels import adam_update

        # All have taken the same number of steps. In float64, as torch has it: 1 − 0.999^t is small.
        step = self.state[weights[0]]["step"].double()
        corrections = torch.stack([1 - beta**step for beta in group["betas"]]).float()
        rate = torch.as_tensor(group["lr"], dtype=torch.float32, device=step.device)
        for weight in weights:
            twin, state = self.twins[weight], self.state[weight]
            moments = state["exp_avg"], state["exp_avg_sq"]
            assert twin.grad is not None
            assert all(_order(other) == _order(weight) for other in (twin, twin.grad, *moments))
            adam_update(
                weight, twin, twin.grad, *moments, rate, corrections,
                group["betas"], group["eps"], group["weight_decay"],
            )  # fmt: skip


def _order(tensor: Tensor) -> list[tuple[int, int]]:
    """What says in which order the values lie in memory: sizes and strides, without axes of one value."""
    return [pair for pair in zip(tensor.shape, tensor.stride(), strict=True) if pair[0] > 1]
