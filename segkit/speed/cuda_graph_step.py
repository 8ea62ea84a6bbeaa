"""The training step on a GPU: the same numbers, to rounding, from fewer bytes and fewer launches."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from segkit.speed.mixed_precision_adam import TwinAdam

HELD_TWICE_FROM = 1 << 15
"""Values in a weight from which a twin pays: the kernels of VGG16 but the first layer's."""

BEFORE_RECORDING = 3
"""Steps taken one launch after the other: compiling, choosing algorithms, making the optimiser's state."""

Loss = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]


class GpuStep:
    """Loss, gradients and update, for a process on a GPU and a step from every batch.

    - With bfloat16, large weights are held as twins (:class:`TwinAdam`).
    - After a few steps the whole step is recorded as a CUDA graph and replayed: one launch instead of some 300. A batch
      of another shape, an epoch's last, is taken as it comes; it needs room beside what the graph keeps for itself.
    - Of several processes each takes the same steps, as their gradients are averaged within. Those of twins are on
      their way, in bfloat16, while those of earlier layers are computed (a compiled network has all at once).

    Args:
        network: the network that ``loss`` uses.
        loss: ``loss(image, label, replaced)``, scalar: computed with the parameters ``replaced`` in place of the
            network's own of these names.
        plain: the same, not compiled: for batches of another shape, which are too few to compile anything for.
        optimizer: of all of the network's parameters.
        bf16: whether to compute in bfloat16 (autocast).
        clip: largest norm of the gradients; None = no clipping.
        processes: how many take the steps together. Their batches have the same shapes at the same steps.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        plain: Loss,
        optimizer: TwinAdam,
        bf16: bool,
        clip: float | None,
        processes: int = 1,
    ) -> None:
        self.loss, self.plain, self.optimizer, self.bf16, self.clip = loss, plain, optimizer, bf16, clip
        self.gradients = SummedGradients() if processes > 1 else None
        self.processes = processes
        updated = {weight for group in optimizer.param_groups for weight in group["params"]}
        large = {
            name: weight
            for name, weight in network.named_parameters()
            if bf16 and weight.numel() >= HELD_TWICE_FROM and weight.requires_grad and weight in updated
        }
        self.twins = {name: weight.detach().bfloat16().requires_grad_() for name, weight in large.items()}
        optimizer.set_twins({large[name]: twin for name, twin in self.twins.items()})
        self.held = [weight for name, weight in network.named_parameters() if name not in self.twins]
        if self.gradients is not None:
            self.gradients.send_early(self.twins.values())
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

    def close(self) -> None:
        """Give up what was recorded; the next step is taken one launch after the other."""
        if self.graph is not None:
            self.graph.reset()
            self.graph, self.taken = None, 0

    def _step(self, loss: Loss, image: Tensor, label: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        # Without its cache: each weight is used once, and what a graph records must not come from before it.
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            value = loss(image, label, self.twins)
        with torch.autocast(image.device.type, enabled=False):
            (value / self.processes).backward()
            if self.gradients is not None:
                self.gradients.finish(self.held)
            if self.clip is not None:
                nn.utils.clip_grad_norm_([*self.held, *self.twins.values()], self.clip)
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


class SummedGradients:
    """Gradients, summed over the processes in place."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send_early(self, tensors: Iterable[Tensor]) -> None:
        """From now on, send the gradient of each of ``tensors`` as soon as backward has it."""
        for tensor in tensors:
            tensor.register_post_accumulate_grad_hook(self._send)

    def _send(self, tensor: Tensor) -> None:
        self.sent.append(torch.distributed.all_reduce(tensor.grad, async_op=True))

    def finish(self, others: Iterable[Tensor]) -> None:
        """Send the gradients of ``others`` as one, and let the GPU wait for all."""
        gradients = [tensor.grad for tensor in others if tensor.grad is not None]
        if gradients:
            together = torch.cat([gradient.flatten() for gradient in gradients])
            torch.distributed.all_reduce(together)
            parts = together.split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view(gradient.shape))
        for work in self.sent:
            work.wait()
        self.sent.clear()


class _Rate:
    """A group's learning rate, where a recorded step finds it."""

    def __init__(self, value: float, device: torch.device) -> None:
        self.value = value
        self.tensor = torch.tensor(value, dtype=torch.float32, device=device)
