"""Gradients of several processes, summed while backward goes on."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class SummedGradients:
    """Gradients, summed over the processes in place."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send_early(self, tensors: Iterable[Tensor]) -> None:
        """From now on, send the gradient of each of ``tensors`` as soon as backward has it."""
        for tensor in tensors:
            tensor.register_post_accumulate_grad_hook(self._send)

    def _send(self, tensor: Tensor) -> None:
        assert tensor.grad is not None
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
