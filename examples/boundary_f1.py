"""A metric of one's own: how well the outlines between classes are met."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric


class BoundaryF1(Metric):
    """F1 of boundary pixels, one being met where the other has one within ``reach`` pixels (Csurka et al. 2013)."""

    full_state_update = False

    def __init__(self, reach: int = 3) -> None:
        super().__init__()
        self.reach = reach
        self.add_state("counts", torch.zeros(4, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, label: Tensor) -> None:
        """Count a picture; both are class numbers (H, W), label 255 is not scored."""
        own, true = _outline(predicted), _outline(label)
        own &= label != 255
        near_own, near_true = self._widened(own), self._widened(true)
        self.counts += torch.stack([(own & near_true).sum(), own.sum(), (true & near_own).sum(), true.sum()])

    def compute(self) -> dict[str, Tensor]:
        """``boundary_f1``, 0…1; NaN without outlines."""
        found, own, met, true = self.counts.double()
        precision, recall = found / own, met / true
        return {"boundary_f1": 2 * precision * recall / (precision + recall)}

    def _widened(self, outline: Tensor) -> Tensor:
        size = 2 * self.reach + 1
        return F.max_pool2d(outline[None, None].float(), size, 1, self.reach)[0, 0] > 0


def _outline(classes: Tensor) -> Tensor:
    """Pixels with another class to their right or below; unscored pixels have no outline."""
    outline = torch.zeros(classes.shape, dtype=torch.bool, device=classes.device)
    for one, other, place in (
        (classes[:, :-1], classes[:, 1:], outline[:, :-1]),
        (classes[:-1], classes[1:], outline[:-1]),
    ):
        place |= (one != other) & (one != 255) & (other != 255)
    return outline
