"""KITTI road's score, as the benchmark's readme defines it: of 8-bit confidence, per category and over all of them."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from segkit.road.layout import CATEGORIES

Scores = dict[str, float]
"""MaxF, AP, PRE, REC, FPR and FNR in percent and the working ``threshold``, 0…1; NaN where a score does not exist."""

SCORE_NAMES = ("MaxF", "AP", "PRE", "REC", "FPR", "FNR", "threshold")

LEVELS = 256
"""Confidence values, and thresholds: at threshold k/255 a pixel is called road where its confidence is k or more."""

IGNORED_PAIR = 2 * LEVELS
"""See :func:`pairs`."""

PAIRS = 3 * LEVELS
"""Values of :func:`pairs`: not road, road and not scored, each with its confidence."""

RECALL_STEPS = 10
"""The average precision is taken at recalls 0, 1/10, …, 1."""


def confidence_counts(confidence: Tensor, label: Tensor) -> Tensor:
    """Count scored pixels by what they are and by their confidence.

    Args:
        confidence: uint8, ``round(255 · probability of road)``, of any shape.
        label: uint8 of the same shape: 0 not road, 1 road, 255 not scored.

    Returns:
        int64 (2, 256) on the same device: not road and road × confidence.

    Raises:
        ValueError: the confidence is no uint8, or the shapes differ.
    """
    return count_pairs([pairs(confidence, label).flatten()], 1)[0]


def pairs(confidence: Tensor, label: Tensor) -> Tensor:
    """Label and confidence of each pixel as one number, ``256 · label + confidence``; ``IGNORED_PAIR`` and more is not
    scored. int16 of the arguments' shape; arguments and errors as :func:`confidence_counts`."""
    if confidence.dtype != torch.uint8:
        raise ValueError(f"confidence is {confidence.dtype}, it has to be torch.uint8")
    if confidence.shape != label.shape:
        raise ValueError(f"confidence is {tuple(confidence.shape)} and its label {tuple(label.shape)}")
    return label.clamp(max=2).to(torch.int16) * LEVELS + confidence


def count_pairs(flat: Sequence[Tensor], sets: int) -> Tensor:
    """Count :func:`pairs` of several sets of pixels in one go, since a GPU is waited for at each count.

    Args:
        flat: int16 (n,) each, the pairs of one set's pixels with ``set · PAIRS`` added.
        sets: how many there are.

    Returns:
        int64 (sets, 2, 256), see :func:`confidence_counts`.
    """
    counts = torch.bincount(torch.cat(list(flat)), minlength=sets * PAIRS)
    return counts.view(sets, -1, LEVELS)[:, :2]


def precision_recall(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Precision and recall at the thresholds 0/255, …, 255/255.

    Args:
        counts: int64 (2, 256), see :func:`confidence_counts`.

    Returns:
        Two float64 (256,) on the CPU, 0…1; NaN at thresholds that are left out, those without a true positive.
    """
    false, true, road, _ = _positives(counts)
    left_out = true == 0
    precision, recall = true.double() / (true + false), true.double() / road
    return precision.masked_fill(left_out, math.nan), recall.masked_fill(left_out, math.nan)


def road_scores(counts: Tensor) -> Scores:
    """The benchmark's scores of one set of pixels.

    MaxF is the largest F1 over the 256 thresholds; PRE, REC, FPR and FNR belong to the threshold at which it is
    reached, the lowest if there are several. AP is the mean over the recalls 0, 0.1, …, 1 of the largest precision at
    that recall or more.

    Args:
        counts: int64 (2, 256), see :func:`confidence_counts`.

    Returns:
        Percent, but for the threshold k/255. All NaN without road pixels; FPR alone is NaN when all pixels are road.
    """
    false, true, road, other = _positives(counts)
    if road == 0:
        return dict.fromkeys(SCORE_NAMES, math.nan)
    f1 = 2 * true.double() / (true + false + road)
    best = int(f1.argmax())  # the first of equal ones
    # Thresholds without a true positive are the largest precision nowhere: at the lowest threshold recall is 1.
    precision = true.double() / (true + false).clamp(min=1)
    # In integers: 0.1, 0.3, … are no floats.
    reached = [RECALL_STEPS * true >= step * road for step in range(RECALL_STEPS + 1)]
    average = sum(float(precision[one].max()) for one in reached) / len(reached)
    return {
        "MaxF": 100 * float(f1[best]),
        "AP": 100 * average,
        "PRE": 100 * float(precision[best]),
        "REC": 100 * int(true[best]) / road,
        "FPR": 100 * int(false[best]) / other if other else math.nan,
        "FNR": 100 * (road - int(true[best])) / road,
        "threshold": best / (LEVELS - 1),
    }


def _positives(counts: Tensor) -> tuple[Tensor, Tensor, int, int]:
    """False and true positives by threshold, int64 (256,), and how many pixels are road and how many are not."""
    # On the CPU: a few hundred numbers, not every device has float64, and each score would be a wait for the GPU.
    false, true = counts.cpu().flip(1).cumsum(1).flip(1)
    return false, true, int(true[0]), int(false[0])


class RoadScore(Metric):
    """The KITTI road score in one view, of the road or of the own lane.

    Pixels are summed over all pictures of a category, then over all categories, and only then scored. All that is read
    off the metric is summed over the ranks, so every rank has to ask.

    Attributes:
        categories: what ``update`` takes: um, umm and uu, or um alone for the lane.
        names: the categories' names in results: UM_ROAD, UMM_ROAD and UU_ROAD, or UM_LANE.
        total: the name of all categories together: URBAN_ROAD; the lane's is its only category's.
    """

    full_state_update = False
    counts: Tensor
    pictures: Tensor

    def __init__(self, target: Literal["road", "lane"] = "road") -> None:
        # With a cache, a rank without new pictures would not take part when the others sum theirs.
        super().__init__(compute_with_cache=False)
        self.categories: tuple[str, ...] = CATEGORIES if target == "road" else CATEGORIES[:1]
        self.names = {category: f"{category}_{target}".upper() for category in self.categories}
        self.total = "URBAN_ROAD" if target == "road" else self.names["um"]
        classes = len(self.categories)
        self.add_state("counts", torch.zeros(classes, 2, LEVELS, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("pictures", torch.zeros(classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, confidence: Tensor, label: Tensor, category: str) -> None:
        """Count a picture, or any other set of pixels.

        Args:
            confidence: uint8, ``round(255 · probability of road)``, of any shape.
            label: uint8 of the same shape: 0 not road, 1 road, 255 not scored.
            category: one of ``categories``.

        Raises:
            ValueError: the confidence is no uint8, the shapes differ, or there is no such category.
        """
        index = self.index(category)
        self.counts[index] += confidence_counts(confidence, label)
        self.pictures[index] += 1

    def add(self, counts: Tensor, category: str, pictures: int = 1) -> None:
        """Count pictures whose pixels were counted already, by :func:`confidence_counts`.

        Raises:
            ValueError: there is no such category.
        """
        index = self.index(category)
        self._update_count += 1  # as torchmetrics does around update; without updates it warns
        self.counts[index] += counts.to(self.counts.device)
        self.pictures[index] += pictures

    def index(self, category: str) -> int:
        """Number of a category. Raises ValueError when there is no such one."""
        if category not in self.categories:
            raise ValueError(f"{category!r} is no category, there are: {', '.join(self.categories)}")
        return self.categories.index(category)

    def _over_all_ranks(self) -> tuple[Tensor, Tensor]:
        """Counts and pictures over all ranks: within ``compute``, torchmetrics has summed them already."""
        with self.sync_context(should_sync=not self._is_synced, should_unsync=not self._is_synced):
            return self.counts.clone(), self.pictures.clone()

    def _by_name(self, values: Tensor) -> dict[str, Tensor]:
        """Values (categories, …) by the names of results, and their sum by the total's."""
        return dict(zip(self.names.values(), values, strict=True)) | {self.total: values.sum(0)}

    def totals(self) -> tuple[Tensor, int]:
        """Pixels, int64 (2, 256), and pictures over all categories."""
        counts, pictures = self._over_all_ranks()
        return counts.sum(0), int(pictures.sum())

    def category_counts(self) -> dict[str, Tensor]:
        """Pixels by the names of results, int64 (2, 256) each: the categories, then the total."""
        return self._by_name(self._over_all_ranks()[0])

    def compute(self) -> dict[str, Scores]:
        """Scores by name: UM_ROAD, UMM_ROAD, UU_ROAD and URBAN_ROAD, or UM_LANE."""
        return {name: road_scores(counts) for name, counts in self.category_counts().items()}

    def missing(self) -> dict[str, str]:
        """Why scores are NaN, by name: ``no pictures`` or ``no road pixels``."""
        counts, pictures = self._over_all_ranks()
        held = self._by_name(pictures)
        road = self._by_name(counts[:, 1].sum(1))
        return {name: "no road pixels" if held[name] else "no pictures" for name, pixels in road.items() if not pixels}
