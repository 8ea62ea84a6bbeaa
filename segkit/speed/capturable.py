"""An optimiser's numbers where a recorded step finds them: counters and learning rates as tensors on its device."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch


def keep_counters_on(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Bring the counters of steps to a device, of an optimiser that knows how to count there (``capturable``)."""
    for group in optimizer.param_groups:
        for weight in group["params"] if "capturable" in group else []:
            state = optimizer.state.get(weight, {})
            if "step" in state:
                state["step"] = state["step"].to(device)


@contextmanager
def rates_of(optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> Iterator[None]:
    """Within, its groups have other learning rates."""
    before = [group["lr"] for group in optimizer.param_groups]
    try:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = rate


class RecordedRates:
    """Learning rates that a recorded step reads anew at each replay."""

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self.groups = optimizer.param_groups
        self.values = [group["lr"] for group in self.groups]
        self.tensors = [torch.tensor(value, dtype=torch.float32, device=device) for value in self.values]

    @contextmanager
    def read(self) -> Iterator[None]:
        """Within, the optimiser takes its rates from the tensors, and on a GPU counts there."""
        before = [(group["lr"], group.get("capturable")) for group in self.groups]
        for group, tensor in zip(self.groups, self.tensors, strict=True):
            group["lr"] = tensor
            if "capturable" in group and tensor.is_cuda:
                group["capturable"] = True
        try:
            yield
        finally:
            for group, (rate, capturable) in zip(self.groups, before, strict=True):
                group["lr"] = rate
                if "capturable" in group:
                    group["capturable"] = capturable

    def set(self, values: Sequence[float]) -> None:
        """Rates for the next replay; what has not changed costs nothing."""
        for tensor, old, new in zip(self.tensors, self.values, values, strict=True):
            if old != new:
                tensor.fill_(new)
        self.values = list(values)
