"""Objects of another picture pasted in, with their labels."""

import torch
from torch import Tensor

from segkit.data.records import IGNORE_INDEX

VALUES = 256
"""Of a label's pixel."""


def pasted(image: Tensor, label: Tensor, partner: tuple[Tensor, Tensor], chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Picture and label with all pixels of the partner's ``chosen`` classes in place of their own, but for
    what is black and unscored: nothing is pasted into padding.

    Args:
        image: uint8 (B, 3, h, w).
        label: uint8 (B, h, w).
        partner: the same of another picture.
        chosen: bool (B, 256), by label value.
    """
    other, other_label = partner
    padding = (label == IGNORE_INDEX) & (image.amax(1) == 0)
    mask = chosen.gather(1, other_label.flatten(1).long()).view(label.shape) & ~padding
    return torch.where(mask[:, None], other, image), torch.where(mask, other_label, label)


def random_half(label: Tensor, priority: Tensor) -> Tensor:
    """Of the classes in each label one half, rounded down: bool (B, 256); 255 is no class.

    ClassMix, Olsson et al., 2021, https://arxiv.org/abs/2007.07936.

    Args:
        label: uint8 (B, h, w).
        priority: a random number 0…1 for each class, (B, 256): the classes with the smallest ones are chosen.
    """
    present = torch.zeros(len(label), VALUES, dtype=torch.bool, device=label.device)
    present.scatter_(1, label.flatten(1).long(), True)
    present[:, IGNORE_INDEX] = False
    rank = priority.masked_fill(~present, 2.0).argsort(1).argsort(1)
    return rank < present.sum(1, keepdim=True) // 2
