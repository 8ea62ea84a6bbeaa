"""The loss of networks that have auxiliary heads in training."""

from collections.abc import Callable

from torch import Tensor

Outputs = Tensor | tuple[Tensor, list[Tensor]]


def with_auxiliary(
    loss: Callable[[Tensor, Tensor], Tensor], outputs: Outputs, label: Tensor, weight: float = 0.4
) -> Tensor:
    """``loss`` of the logits, and ``weight`` times that of each auxiliary head's (Zhao et al. 2017).

    Args:
        outputs: what a network in training gives: logits (B, C, H, W), or those and a list of auxiliary logits of the
            same shape.
        label: uint8 (B, H, W).
    """
    if isinstance(outputs, Tensor):
        return loss(outputs, label)
    logits, auxiliary = outputs
    return loss(logits, label) + weight * sum(loss(head, label) for head in auxiliary)
