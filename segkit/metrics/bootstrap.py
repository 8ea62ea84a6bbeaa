"""How far a score would move with other pictures of the same kind: bootstrap intervals over pictures."""

import torch
from torch import Tensor

RESAMPLES, SEED, LEVEL = 1000, 0, 0.95


def iou_intervals(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """95 % percentile bootstrap intervals of the mean IoU and of each class's (Efron and Tibshirani 1993, chapter 13).

    As many pictures as there are get drawn from them with replacement, 1000 times with a fixed seed; each time the
    counts are summed and scored as those of the data set are: a class that no drawn label holds is not in that mean.
    Pictures are taken to be independent. Neighbouring frames of a video are not, so of these the intervals are too
    narrow.

    Args:
        matrices: a confusion matrix per picture, int64 (pictures, classes, classes).

    Returns:
        The ends (2,) of the mean's interval and those of the classes' (2, classes), float64, 0…1; NaN where no label
        holds the class, and throughout for fewer than two pictures, which say nothing of others.
    """
    pictures, classes = len(matrices), matrices.shape[-1]
    if pictures < 2:
        return torch.full((2,), torch.nan).double(), torch.full((2, classes), torch.nan).double()
    generator = torch.Generator().manual_seed(SEED)
    drawn = torch.randint(pictures, (RESAMPLES, pictures), generator=generator)
    times = torch.zeros(RESAMPLES, pictures, dtype=torch.float64)
    times.scatter_add_(1, drawn, torch.ones_like(times))
    # Whole numbers below 2^53 are exact in float64, and its products are many times as fast as those of int64.
    own = matrices.cpu().double()
    hits, labelled, predicted = (
        times @ counts for counts in (own.diagonal(dim1=1, dim2=2), own.sum(dim=2), own.sum(dim=1))
    )
    iou = (hits / (labelled + predicted - hits)).where(labelled > 0, torch.nan)
    ends = torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)
    return torch.nanquantile(iou.nanmean(dim=1), ends), torch.nanquantile(iou, ends, dim=0)
