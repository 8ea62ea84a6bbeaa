"""What a recorded step is tried by: all that a step changes, kept and put back, and two ways' results held together.

Tolerances. Both ways round to the same dtype, of relative rounding error u, but at other places and in another order of
sums. Errors of L layers add up like a random walk, to u·√L of a value; `ROUNDINGS` = 8 is that of 64 layers, and a loss
is a mean over many pixels, in which most of it averages out. In bfloat16 u is 2⁻⁹, which allows a loss 1.6 %; GPUs
compute fp32 convolutions in TF32, u = 2⁻¹¹, which allows 0.4 %.
Of updates only the gross is compared: Adam makes a whole step of a gradient that is but rounding noise (that of a bias
before batch normalisation), and its sign is chance. Not updated, or updated twice, is a distance of 1.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segkit.speed.accelerate import has_hooks

ROUNDINGS = 8
UPDATE = 0.7
"""Largest distance between two ways' changes of all parameters, as a share of the plain way's change."""
MOVED = 1e-5
"""A parameter that the plain way moves by this share of its largest value, the recorded way has to move too."""

IN_OPTIMIZER = "in the optimizer"

Modules = Mapping[str, nn.Module]
"""By the name under which a message speaks of them: those whose forward the step calls."""


class Snapshot:
    """Copies of all that a step changes: parameters, buffers, the optimiser's state, torch's random numbers.

    They lie on the CPU, so that a trial takes no memory of the GPU's.
    """

    def __init__(self, modules: Modules, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self.originals = tensors_of(modules, optimizer)
        self.values = {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.originals.items()}
        self.random, self.device = random_state(device), device

    @torch.no_grad()
    def restore(self) -> None:
        """Put all values back where they were, each in its place in memory."""
        for name, tensor in self.originals.items():
            tensor.copy_(self.values[name])
        set_random_state(self.random, self.device)


def tensors_of(modules: Modules, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Parameters, buffers and the optimiser's state, by names for messages."""
    found: dict[str, Tensor] = {}
    for kind, module in modules.items():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            found[f"{kind}.{name}"] = tensor
    names = {tensor: name for name, tensor in found.items()}
    for index, (weight, state) in enumerate(optimizer.state.items()):
        for key, value in state.items():
            if isinstance(value, Tensor):
                found[f"{key} of {names.get(weight, index)} {IN_OPTIMIZER}"] = value
    return found


def random_state(device: torch.device) -> list[Tensor]:
    """torch's, of the CPU and of the GPU."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_random_state(state: Sequence[Tensor], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)


def settings(modules: Modules, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Numbers, flags and lengths by name, that modules and an optimiser have in Python and a recording has in it.

    Learning rates are left out; a recorded step reads those anew.
    """
    groups = enumerate(optimizer.param_groups)
    of_groups = {f"{key} of the optimizer's group {i}": group[key] for i, group in groups for key in group}
    return dict(_attributes(modules)) | {k: v for k, v in of_groups.items() if not k.startswith(("lr of", "params of"))}


def python_state(modules: Modules, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """`settings`, and what the optimiser counts in Python: all that a step may change there, which no replay does."""
    states = enumerate(optimizer.state.values())
    counts = {f"{key} of the optimizer's weight {i}": state[key] for i, state in states for key in state}
    return settings(modules, optimizer) | {k: v for k, v in counts.items() if not isinstance(v, Tensor)}


def _attributes(modules: Modules) -> Iterator[tuple[str, Any]]:
    for kind, root in modules.items():
        for path, module in root.named_modules(prefix=kind):
            for name, value in vars(module).items():
                if isinstance(value, list | dict | set):
                    yield f"{path}.{name}", (type(value), len(value))
                elif value is None or isinstance(value, bool | int | float | str):
                    yield f"{path}.{name}", value


def host_random(device: torch.device) -> list[Any]:
    """Where generators stand that a recorded step does not draw from: Python's, NumPy's, beside a GPU torch's too."""
    numpy = np.random.get_state(legacy=False)["state"]  # type: ignore[call-overload,index]
    torchs = torch.get_rng_state().tolist() if device.type == "cuda" else None
    return [random.getstate(), numpy["pos"], numpy["key"].tolist(), torchs]


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """The first name whose value differs, or None."""
    return next((name for name in {**before, **after} if before.get(name) != after.get(name)), None)


def unfit(modules: Modules, optimizer: torch.optim.Optimizer, before: Snapshot, after: Snapshot) -> str | None:
    """What cannot be recorded for all to see: hooks, and tensors that plain steps replaced; None = nothing."""
    for kind, root in modules.items():
        hooked = [name for name, module in root.named_modules(prefix=kind) if has_hooks(module)]
        hooked += [
            name
            for name, tensor in root.named_parameters(prefix=kind)
            if tensor._backward_hooks or tensor._post_accumulate_grad_hooks  # type: ignore[attr-defined]
        ]
        if hooked:
            return f"{hooked[0]} has a hook, which a recorded step does not call"
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return "the optimizer has a hook, which a recorded step does not call"
    for name, tensor in after.originals.items():
        if before.originals.get(name) is not tensor:
            return f"{name} is replaced at every step, not changed in its place"
    return None


def loss_differs(plain: float, tried: float, bf16: bool) -> bool:
    """Whether two losses differ by more than rounding; see the tolerances above."""
    if plain != plain:  # not a number: there is nothing to hold together, and both ways say so
        return tried == tried
    rounding = 2.0**-9 if bf16 else 2.0**-11
    return not abs(tried - plain) <= ROUNDINGS * rounding * (abs(plain) + 0.05)


def updates_differ(before: Snapshot, plain: Snapshot) -> str | None:
    """How the values are now, if not as plain steps led to: None = they are, both ways having come from ``before``."""
    apart = length = 0.0
    for name, tensor in before.originals.items():
        start, expected, found = before.values[name], plain.values[name], tensor.detach().cpu()
        if not tensor.is_floating_point() or name.startswith("step of"):
            if not torch.equal(expected, found):
                return f"the recorded step leaves {name} at another value"
        elif not name.endswith(IN_OPTIMIZER):
            wanted, got = expected - start, found - start
            if wanted.numel() and wanted.abs().max() > MOVED * start.abs().max() and not got.any():
                return f"the recorded step does not change {name}"
            if isinstance(tensor, nn.Parameter):
                apart += float((got - wanted).norm()) ** 2
                length += float(wanted.norm()) ** 2
    if not apart <= UPDATE**2 * length:
        return f"the recorded step changes the weights otherwise: {apart**0.5:.3g} off {length**0.5:.3g}"
    return None
