"""What a recorded step is tried by: all that a step changes, kept and put back, and two ways' results held together.

Tolerances. Both ways round to the same dtype, of relative rounding error u, but at other places and in another order of
sums. Errors of L layers add up like a random walk, to u·√L of a value; `ROUNDINGS` = 8 is that of 64 layers, and a loss
is a mean over many pixels, in which most of it averages out. In bfloat16 u is 2⁻⁹, which allows a loss 1.6 %; GPUs
compute fp32 convolutions in TF32, u = 2⁻¹¹, which allows 0.4 %.
Of updates only the gross is compared, their length and roughly their direction: Adam makes a whole step of a gradient
that is but rounding noise (that of a bias before batch normalisation), and its sign is chance. In a deep network at its
random start, shown one picture, that holds for a fourth of all weights: where a share f of the signs differs, two
updates of one length are 2·√f of it apart (measured: 0.96). Updates that have nothing to do with each other are 1.41
apart; one that was taken twice, or not at all, has another length.
"""

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segkit.speed.accelerate import has_hooks

ROUNDINGS = 8
APART = 1.2
"""Largest distance between two ways' changes of all parameters, as a share of the plain way's change."""
LONGER = 1.5
"""By how much the one way's change may be longer than the other's."""
MOVED = 1e-5
"""A parameter that the plain way moves by this share of its largest value, the recorded way has to move too."""

SHARE_OF_MEMORY = 0.125
"""Of the GPU's free memory, the most that a copy may take: there are three or four, and a recording has to fit too."""

IN_OPTIMIZER = "in the optimizer"

Modules = Mapping[str, nn.Module]
"""By the name under which a message speaks of them: those whose forward the step calls."""


class Snapshot:
    """Copies of all that a step changes: parameters, buffers, the optimiser's state, torch's random numbers.

    They lie on the GPU where its memory allows, else on the CPU, which takes seconds for a large network.
    """

    def __init__(self, modules: Modules, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self.originals = tensors_of(modules, optimizer)
        to = None if has_room(self.originals.values(), device) else "cpu"
        self.values = {name: tensor.detach().to(to, copy=True) for name, tensor in self.originals.items()}
        self.random, self.device = random_state(device), device

    @torch.no_grad()
    def restore(self) -> None:
        """Put all values back where they were, each in its place in memory."""
        torch._foreach_copy_(list(self.originals.values()), list(self.values.values()))
        set_random_state(self.random, self.device)


@dataclass
class PlainStep:
    """A plain step that was taken: what it was given, its share in averages, its loss.

    ``before`` and ``after`` are the states that it led from and to, where it is to be tried.
    """

    image: Tensor
    label: Tensor
    rates: list[float]
    share: float
    loss: Tensor
    before: Snapshot | None
    after: Snapshot | None = None


def has_room(tensors: Iterable[Tensor], device: torch.device) -> bool:
    """Whether a copy of ``tensors``, one of three or four, leaves a GPU enough for recording."""
    if device.type != "cuda":
        return True
    needed = sum(tensor.nbytes for tensor in tensors if tensor.is_cuda)
    return needed <= SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]


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


@torch.no_grad()
def updates_differ(before: Snapshot, plain: Snapshot, idle: Collection[str] = ()) -> str | None:
    """How the values are now, if not as plain steps led to: None = they are, both ways having come from ``before``.

    Args:
        before, plain: the values that both ways came from, and those that the plain one led to.
        idle: names of parameters that the plain way moves by rounding alone, and the other one need not.
    """
    counts, values = [], []
    for name, tensor in before.originals.items():
        if not tensor.is_floating_point() or name.startswith("step of"):
            counts.append(name)
        elif not name.endswith(IN_OPTIMIZER) and tensor.numel():
            values.append(name)
    return _counts_differ(counts, plain) or _changes_differ(values, before, plain, idle)


def _counts_differ(names: Sequence[str], plain: Snapshot) -> str | None:
    found = [plain.originals[name].to(plain.values[name].device) for name in names]
    wrong = [(plain.values[name] != now).any() for name, now in zip(names, found, strict=True)]
    name = next((name for name, differs in zip(names, _fetched(wrong), strict=True) if differs), None)
    return name and f"the recorded step leaves {name} at another value"


def _changes_differ(names: Sequence[str], before: Snapshot, plain: Snapshot, idle: Collection[str]) -> str | None:
    start = [before.values[name] for name in names]
    # Where those lie: as memory went, one snapshot may be on the GPU and one not.
    expected, found = (
        [values[name].detach().to(value.device) for name, value in zip(names, start, strict=True)]
        for values in (plain.values, before.originals)
    )
    # One list of differences at a time: each takes as much memory as the network.
    norms = [torch._foreach_norm(start, inf)]
    for values in (expected, found):
        moved = torch._foreach_sub(values, start)
        norms += [torch._foreach_norm(moved, inf), torch._foreach_norm(moved)]
        del moved
    norms.append(torch._foreach_norm(torch._foreach_sub(found, expected)))
    apart = length = other_length = 0.0
    fetched = iter(_fetched([norm for column in norms for norm in column]))
    columns = [list(islice(fetched, len(names))) for _ in norms]
    for name, largest, should_move, long, moves, other, off in zip(names, *columns, strict=True):
        if should_move > MOVED * largest and moves == 0 and name not in idle:
            return f"the recorded step does not change {name}"
        if isinstance(before.originals[name], nn.Parameter):
            apart, length, other_length = apart + off**2, length + long**2, other_length + other**2
    lengths = sorted((length**0.5, other_length**0.5))
    if not (lengths[1] <= LONGER * lengths[0] and apart**0.5 <= APART * length**0.5):
        how = f"by {other_length**0.5:.3g} instead of {length**0.5:.3g}, {apart**0.5:.3g} apart"
        return f"the recorded step changes the weights otherwise: {how}"
    return None


def _fetched(scalars: Sequence[Tensor]) -> list[float]:
    """The values of scalars, the GPU waited for once."""
    if not scalars:
        return []
    return torch.stack([scalar.double().to(scalars[-1].device) for scalar in scalars]).tolist()
