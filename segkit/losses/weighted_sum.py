"""Sums of losses."""

from torch import Tensor, nn

from segkit.errors import UserError, did_you_mean


class WeightedSum(nn.Module):
    """Σ factor · term.

    Args:
        terms: losses by a name of one's choice.
        factors: by the same names.
    """

    def __init__(self, terms: dict[str, nn.Module], factors: dict[str, float]) -> None:
        super().__init__()
        if terms.keys() != factors.keys() or not terms:
            near = "".join(did_you_mean(name, terms) for name in factors.keys() - terms.keys())
            raise UserError(f"loss.factors: give one for each of loss.terms ({', '.join(terms)}){near}")
        self.terms = nn.ModuleDict(terms)
        self.factors = dict(factors)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Scalar from logits (B, C, H, W) and label uint8 (B, H, W)."""
        return sum(factor * self.terms[name](logits, label) for name, factor in self.factors.items())  # type: ignore[return-value]
