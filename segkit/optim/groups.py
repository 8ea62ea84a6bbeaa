"""Parameter groups: which weights decay, and which learn more slowly."""

from typing import Any

from torch import nn
from torch.nn import Parameter

from segkit.errors import UserError


def parameter_groups(
    network: nn.Module,
    learning_rate: float,
    weight_decay: float = 0.0,
    decoder_decay: float | None = None,
    encoder_factor: float = 1.0,
    decay_all: bool = False,
) -> list[dict[str, Any]]:
    """All parameters of ``network`` for an optimiser, with ``lr`` and ``weight_decay``; frozen ones among them.

    Kernels (parameters of two axes or more) decay, norms and biases do not. There is one group for each pair of
    values, those with the plain learning rate first; within a group they have the network's order.

    Args:
        learning_rate: of all but the encoder.
        weight_decay: of kernels.
        decoder_decay: of the kernels of ``network.decoder``, where there is one; None = ``weight_decay``.
        encoder_factor: ``network.encoder`` learns at this times ``learning_rate``.
        decay_all: let norms and biases decay as kernels do.

    Raises:
        UserError: ``encoder_factor`` for a network without an encoder.
    """
    encoder, decoder = (set(_parameters(network, part)) for part in ("encoder", "decoder"))
    if encoder_factor != 1 and not encoder:
        raise UserError(f"optimizer.encoder_factor={encoder_factor:g}: this network has no part named encoder; give 1")
    groups: dict[tuple[float, float], list[Parameter]] = {}
    for parameter in network.parameters():
        decay = decoder_decay if parameter in decoder and decoder_decay is not None else weight_decay
        factor = encoder_factor if parameter in encoder else 1.0
        key = factor, decay if parameter.ndim > 1 or decay_all else 0.0
        groups.setdefault(key, []).append(parameter)
    by_rate = sorted(groups.items(), key=lambda item: item[0][0] != 1.0)
    return [
        {"params": parameters, "lr": factor * learning_rate, "weight_decay": decay}
        for (factor, decay), parameters in by_rate
    ]


def _parameters(network: nn.Module, part: str) -> list[Parameter]:
    module = getattr(network, part, None)
    return list(module.parameters()) if isinstance(module, nn.Module) else []
