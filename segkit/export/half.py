"""A network in half precision."""

import torch
from torch import nn

from segkit.errors import UserError
from segkit.speed.inference import fold_batch_norm


def halved(network: nn.Module) -> nn.Module:
    """The network in fp16, in place.

    Batch normalisation is folded into convolutions first: its variances may be larger than fp16's 65 504.

    Raises:
        UserError: a weight is larger than that all the same.
    """
    with torch.no_grad():
        fold_batch_norm(network, [])
    network.half()
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(f"half=true: {name} holds values beyond fp16's range; leave it out")
    return network
