"""Gradients of several processes, summed while backward goes on."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class SummedGradients:
    """Gradients, summed over the processes in place."""

    def __init__(self) -> None:
        self.sent: list[Callable[[], object]] = []

    def send_early(self, tensors: Iterable[Tensor]) -> None:
        """From now on, send the gradient of each of ``tensors`` as soon as backward has it."""
        for tensor in tensors:
            tensor.register_post_accumulate_grad_hook(self._send)

    def send(self, gradient: Tensor) -> Callable[[], object]:
        """Send a gradient after what is launched by now; what is given lets the GPU wait for the sum."""
        wait: Callable[[], object] = torch.distributed.all_reduce(gradient, async_op=True).wait
        return wait

    def _send(self, tensor: Tensor) -> None:
        if tensor.grad is not None:  # else it is computed beside backward
            self.sent.append(self.send(tensor.grad))

    def wait(self) -> None:
        """Let the GPU wait for what was sent early."""
        for wait in self.sent:
            wait()
        self.clear()

    def clear(self) -> None:
        """Give up what was sent: the pass that it was part of has failed, or is over."""
        self.sent.clear()

    def finish(self, others: Iterable[Tensor]) -> None:
        """Sum the gradients of ``others``, sent as one."""
        gradients = [tensor.grad for tensor in others if tensor.grad is not None]
        if gradients:
            together = torch.cat([gradient.flatten() for gradient in gradients])
            torch.distributed.all_reduce(together)
            parts = together.split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view(gradient.shape))
