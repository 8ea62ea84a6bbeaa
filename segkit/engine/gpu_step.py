"""The training step on one GPU: the same numbers, to rounding, from fewer bytes and fewer launches."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from segkit.engine.adam import TwinAdam

HELD_TWICE_FROM = 1 << 15
"""Values in a weight from which a twin pays: the kernels of VGG16 but the first layer's."""

BEFORE_RECORDING = 3
"""Steps taken one launch after the other: compiling, choosing algorithms, making the optimiser's state."""

Loss = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]


class GpuStep:
    """Loss, gradients and update, for one process on one GPU and a step from every batch.

    - With bfloat16, large weights are held as twins (:class:`TwinAdam`).
    - After a few steps the whole step is recorded as a CUDA graph and replayed: one launch instead of some 300. A batch
      of another shape, an epoch's last, is taken as it comes; it needs room beside what the graph keeps for itself.

    Args:
        network: the network that ``loss`` uses.
        loss: ``loss(image, label, replaced)``, scalar: computed with the parameters ``replaced`` in place of the
            network's own of these names.
        plain: the same, not compiled: for batches of another shape, which are too few to compile anything for.
        optimizer: of all of the network's parameters.
        bf16: whether to compute in bfloat16 (autocast).
        clip: largest norm of the gradients; None = no clipping.
    """

    def __init__(
        self, network: nn.Module, loss: Loss, plain: Loss, optimizer: TwinAdam, bf16: bool, clip: float | None
    ) -> None:
        self.loss, self.plain, self.optimizer, self.bf16, self.clip = loss, plain, optimizer, bf16, clip
        updated = {weight for group in optimizer.param_groups for weight in group["params"]}
        large = {
            name: weight
            for name, weight in network.named_parameters()
            if bf16 and weight.numel() >= HELD_TWICE_FROM and weight.requires_grad and weight in updated
        }
        self.twins = {name: weight.detach().bfloat16().requires_grad_() for name, weight in large.items()}
        optimizer.set_twins({large[name]: twin for name, twin in self.twins.items()})
        self.clipped = [*network.parameters(), *self.twins.values()]
        self.graph: torch.cuda.CUDAGraph | None = None
        self.taken = 0

    def __call__(self, image: Tensor, label: Tensor) -> Tensor:
        """Take one step with a batch on the GPU; its loss, a scalar that is overwritten by the next step."""
        if self.taken == 0:
            self.shape = image.shape
        if image.shape != self.shape:
            return self._step(self.plain, image, label)
        if self.taken < BEFORE_RECORDING:
            self.taken += 1
            return self._step(self.loss, image, label)
        if self.graph is None:
            self._record(image, label)
        assert self.graph is not None
        self.image.copy_(image)
        self.label.copy_(label)
        for held, group in zip(self.rates, self.optimizer.param_groups, strict=True):
            if group["lr"] != held.value:
                held.tensor.fill_(group["lr"])
                held.value = group["lr"]
        self.graph.replay()
        return self.result

    def _step(self, loss: Loss, image: Tensor, label: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        # Without its cache: each weight is used once, and what a graph records must not come from before it.
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            value = loss(image, label, self.twins)
        with torch.autocast(image.device.type, enabled=False):
            value.backward()
            if self.clip is not None:
                nn.utils.clip_grad_norm_(self.clipped, self.clip)
            self.optimizer.step()
        return value.detach()

    def _record(self, image: Tensor, label: Tensor) -> None:
        """Record a step. Nothing is computed; what the step reads and writes keeps its place in memory from now on."""
        self.image, self.label = image.clone(), label.clone()
        groups = self.optimizer.param_groups
        self.rates = [_Rate(group["lr"], image.device) for group in groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"], group["capturable"] = rate.tensor, True
        self.optimizer.zero_grad()
        self.graph = torch.cuda.CUDAGraph()
        # Loader threads may be allocating pinned memory meanwhile.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.result = self._step(self.loss, self.image, self.label)
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"], group["capturable"] = rate.value, False


class _Rate:
    """A group's learning rate, where a recorded step finds it."""

    def __init__(self, value: float, device: torch.device) -> None:
        self.value = value
        self.tensor = torch.tensor(value, dtype=torch.float32, device=device)
