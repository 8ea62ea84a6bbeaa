"""A moving average of a network's tensors, brought up to date as part of a recorded step."""

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor, nn


def buffer_name(name: str) -> str:
    """Of the average of a tensor of that name."""
    return "/" + name.replace(".", "/")  # no two names become one, and none that of something else


class Averages(nn.Module):
    """average = (1 - share) · average + share · tensor, for each of a network's tensors; integers are copied.

    The averages are its buffers, so that the trial of a recorded step keeps them and puts them back with the rest.

    Args:
        pairs: by name, a tensor of the network and its average.
        next_share: gives the share of the next step, 0…1.
    """

    def __init__(self, pairs: Mapping[str, tuple[Tensor, Tensor]], next_share: Callable[[], float]) -> None:
        super().__init__()
        self.of, self.next_share = dict(pairs.values()), next_share
        for name, (_, average) in pairs.items():
            self.register_buffer(buffer_name(name), average)
        device = next(iter(self.of)).device
        self.share, self._share = torch.zeros((), device=device), 0.0

    def set_share(self, share: float) -> None:
        """The share in the steps from here on; what has not changed costs nothing."""
        if share != self._share:
            self.share.fill_(share)
        self._share = share

    @torch.no_grad()
    def update(self, done: Collection[Tensor]) -> None:
        """Bring all averages up to date but those of the tensors ``done``, which have theirs already."""
        pairs = [(tensor.detach(), average) for tensor, average in self.of.items() if tensor not in done]
        blended = [pair for pair in pairs if pair[0].is_floating_point()]
        copied = [pair for pair in pairs if not pair[0].is_floating_point()]
        if blended:
            tensors, averages = map(list, zip(*blended, strict=True))
            apart = torch._foreach_sub(tensors, averages)
            torch._foreach_mul_(apart, self.share)
            torch._foreach_add_(averages, apart)
        if copied:
            tensors, averages = map(list, zip(*copied, strict=True))
            torch._foreach_copy_(averages, tensors)
