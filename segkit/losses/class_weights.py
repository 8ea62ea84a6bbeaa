"""Weights of classes: given, or made from how many pixels of the training split each class has."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn

from segkit.errors import UserError
from segkit.losses.pixels import scored

Rule = Literal["enet", "dabnet", "median_frequency"]
OFFSETS = {"enet": 1.02, "dabnet": 1.10}
Weights = Rule | list[Annotated[float, Ge(0)]] | None


def weights_from_counts(rule: Rule, counts: Tensor) -> Tensor:
    """Float32 (C,) from pixels per class, int64 (C,).

    - ``enet``: 1 / ln(1.02 + share of the pixels), 1.4 … 50.5 (Paszke et al. 2016).
    - ``dabnet``: 1 / ln(1.10 + share of the pixels), 1.3 … 10.5, as the code of DABNet (Li et al. 2019), LMFFNet and
      LETNet has it. Rare classes weigh at most some 4 times as much as frequent ones, not 13 times.
    - ``median_frequency``: median of the shares / share (Eigen and Fergus 2015). They count a class's share over the
      pictures that hold it; here it is over all pictures, as totals do not tell one from the other. The median is that
      of the classes that occur, of two in the middle the lower.

    A class without a pixel has weight 0: there is nothing to learn of it, and its rarity has no bounds.
    """
    share = counts.double() / counts.sum().clamp(min=1)
    occurs = counts > 0
    if not occurs.any():
        return torch.zeros(len(counts))
    weights = 1 / torch.log(OFFSETS[rule] + share) if rule in OFFSETS else share[occurs].median() / share
    return torch.where(occurs, weights, 0).float()


def give_pixel_counts(loss: nn.Module, count: Callable[[], Tensor]) -> None:
    """Call ``use_pixel_counts`` of ``loss`` and of every module in it that has one.

    Args:
        count: gives the training split's pixels per class, int64 (C,). Not called where nothing asks for them.
    """
    asking = [module for module in loss.modules() if hasattr(module, "use_pixel_counts")]
    if asking:
        counts = count()
        for module in asking:
            module.use_pixel_counts(counts)  # type: ignore[operator]


class ClassWeights(nn.Module):
    """The weight of each pixel by its class.

    Args:
        weights: float32 (C,); None = not known yet.
    """

    weight: Tensor | None

    def __init__(self, weights: Tensor | None) -> None:
        super().__init__()
        # Not kept in checkpoints: it follows from config and data, and a trained network is the same without it.
        self.register_buffer("weight", weights, persistent=False)

    def forward(self, label: Tensor) -> Tensor:
        """Float32 in the label's shape; 0 where a pixel is not scored."""
        if self.weight is None:
            raise RuntimeError("class weights by a rule are made by use_pixel_counts, which has not been called")
        return self.weight[label.long().clamp(max=len(self.weight) - 1)] * scored(label)


class CountedClassWeights(ClassWeights):
    """Weights that a rule makes from pixel counts."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(None)
        self.rule: Rule = rule

    def use_pixel_counts(self, counts: Tensor) -> None:
        """Make the weights from the training split's pixels per class, int64 (C,)."""
        self.weight = weights_from_counts(self.rule, counts)


class ClassWeightedLoss(nn.Module):
    """A loss that is a mean over pixels, each with the weight of its class.

    Args:
        class_weights: one per class, or the rule to make them by, or None: all pixels count the same.
    """

    def __init__(self, class_weights: Weights = None) -> None:
        super().__init__()
        self.class_weights: ClassWeights | None = None
        if isinstance(class_weights, str):
            self.class_weights = CountedClassWeights(class_weights)
        elif class_weights is not None:
            self.class_weights = ClassWeights(torch.tensor(class_weights, dtype=torch.float32))

    def pixel_weights(self, logits: Tensor, label: Tensor) -> Tensor:
        """(B, H, W), bool or float32; 0 where a pixel is not scored.

        Raises:
            UserError: there are not as many weights as classes.
        """
        weights, classes = self._weights(label), logits.shape[1]
        if self.class_weights is not None and len(self.class_weights.weight) != classes:  # type: ignore[arg-type]
            given = len(self.class_weights.weight)  # type: ignore[arg-type]
            raise UserError(f"loss.class_weights: {given} weights for {classes} classes; give one for each")
        return weights

    def denominator(self, label: Tensor) -> Tensor:
        """The sum of the pixels' weights, a scalar."""
        return self._weights(label).sum()

    def _weights(self, label: Tensor) -> Tensor:
        return scored(label) if self.class_weights is None else self.class_weights(label)
