import copy
import math
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segkit.road.score import RoadScore, Scores, confidence_counts, precision_recall, road_scores

Pixel = tuple[int, int]
"""Confidence and label."""


def tensors(pixels: list[Pixel]) -> tuple[Tensor, Tensor]:
    both = torch.tensor(pixels, dtype=torch.uint8).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def counts_of(pixels: list[Pixel]) -> Tensor:
    return confidence_counts(*tensors(pixels))


def figures_of(pixels: list[Pixel]) -> Scores:
    return road_scores(counts_of(pixels))


def reference(pixels: list[Pixel]) -> Scores:
    """The figures in exact fractions, threshold by threshold, from the benchmark's description."""
    scored = [(confidence, label) for confidence, label in pixels if label != 255]
    road = sum(label == 1 for _, label in scored)
    other = len(scored) - road
    names = ("MaxF", "AP", "PRE", "REC", "FPR", "FNR", "threshold")
    if road == 0:
        return dict.fromkeys(names, math.nan)
    points = []
    for k in range(256):
        true = sum(label == 1 for confidence, label in scored if confidence >= k)
        false = sum(label == 0 for confidence, label in scored if confidence >= k)
        if true == 0:
            continue
        precision, recall = Fraction(true, true + false), Fraction(true, road)
        points.append((2 * precision * recall / (precision + recall), precision, recall, false, k))
    best = points[0]
    for point in points:
        if point[0] > best[0]:
            best = point
    f1, precision, recall, false, k = best
    average = sum(max(p for _, p, r, _, _ in points if r >= Fraction(step, 10)) for step in range(11)) / Fraction(11)
    fpr = 100 * Fraction(false, other) if other else math.nan
    values = (100 * f1, 100 * average, 100 * precision, 100 * recall, fpr, 100 * (1 - recall), Fraction(k, 255))
    return {name: float(value) for name, value in zip(names, values, strict=True)}


# ---- by hand ----


def test_counts_by_label_and_confidence_without_the_unscored() -> None:
    pixels = [(0, 0), (7, 0), (7, 0), (255, 0), (7, 1), (255, 1), (0, 255), (7, 255), (255, 255)]
    counts = counts_of(pixels)
    assert counts.dtype == torch.int64
    expected = torch.zeros(2, 256, dtype=torch.int64)
    expected[0, 0], expected[0, 7], expected[0, 255] = 1, 2, 1
    expected[1, 7], expected[1, 255] = 1, 1
    assert torch.equal(counts, expected)


def test_counts_do_not_depend_on_shape_or_memory_layout() -> None:
    generator = torch.Generator().manual_seed(0)
    confidence = torch.randint(0, 256, (6, 8), dtype=torch.uint8, generator=generator)
    label = torch.tensor([0, 1, 255], dtype=torch.uint8)[torch.randint(0, 3, (6, 8), generator=generator)]
    flat = confidence_counts(confidence.flatten(), label.flatten())
    assert torch.equal(confidence_counts(confidence, label), flat)
    assert torch.equal(confidence_counts(confidence.T, label.T), flat)
    assert torch.equal(confidence_counts(confidence[None, :, ::2], label[None, :, ::2]), confidence_counts(
        confidence[:, ::2].contiguous(), label[:, ::2].contiguous()
    ))  # fmt: skip
    assert int(confidence_counts(confidence[:0], label[:0]).sum()) == 0


def test_confidence_equal_to_the_threshold_is_road() -> None:
    precision, recall = precision_recall(counts_of([(128, 1), (127, 0), (255, 255)]))
    assert precision.shape == recall.shape == (256,)
    assert precision.dtype == recall.dtype == torch.float64
    assert (float(precision[127]), float(recall[127])) == (0.5, 1)
    assert (float(precision[128]), float(recall[128])) == (1, 1)
    assert figures_of([(128, 1), (127, 0), (255, 255)])["threshold"] == 128 / 255


def test_thresholds_without_a_true_positive_are_left_out() -> None:
    precision, recall = precision_recall(counts_of([(128, 1), (200, 0)]))
    assert not precision[:129].isnan().any()
    assert not recall[:129].isnan().any()
    assert precision[129:].isnan().all()  # between 129 and 200 with a false positive, above without
    assert recall[129:].isnan().all()
    assert figures_of([(128, 1), (200, 0)]) == pytest.approx(
        {"MaxF": 200 / 3, "AP": 50, "PRE": 50, "REC": 100, "FPR": 100, "FNR": 0, "threshold": 0}
    )


def test_road_of_confidence_0_is_found_by_threshold_0_alone() -> None:
    precision, _ = precision_recall(counts_of([(0, 1), (0, 0)]))
    assert float(precision[0]) == 0.5
    assert precision[1:].isnan().all()
    assert figures_of([(0, 1), (0, 0)])["threshold"] == 0


def test_figures_by_hand() -> None:
    # True and false positives from threshold 1: 3 and 2, from 51: 3 and 1, from 101: 2 and 1, from 201: none.
    figures = figures_of([(200, 1), (200, 1), (100, 1), (200, 0), (50, 0), (0, 0)])
    assert list(figures) == ["MaxF", "AP", "PRE", "REC", "FPR", "FNR", "threshold"]
    assert figures == pytest.approx(
        {"MaxF": 600 / 7, "AP": 75, "PRE": 75, "REC": 100, "FPR": 100 / 3, "FNR": 0, "threshold": 51 / 255}
    )


def test_average_precision_takes_the_largest_precision_at_that_recall_or_more() -> None:
    # Recall 1/3 with precision 1/2 (from 211), 2/3 with 2/3 (from 191), 1 with 3/5.
    figures = figures_of([(250, 0), (220, 1), (200, 1), (100, 1), (100, 0)])
    assert figures["AP"] == pytest.approx(100 * (7 * 2 / 3 + 4 * 3 / 5) / 11)


@pytest.mark.parametrize("level", range(1, 11))
def test_a_recall_that_is_exactly_a_level_counts_for_it(level: int) -> None:
    """Precision is 1 up to recall level/10: 0.3 and 0.7 are no floats."""
    pixels = [(200, 1)] * level + [(150, 0)] + [(100, 1)] * (10 - level)
    expected = 1.0 if level == 10 else ((level + 1) * 1 + (10 - level) * 10 / 11) / 11
    assert figures_of(pixels)["AP"] == pytest.approx(100 * expected)


def test_the_lowest_of_equally_good_thresholds_is_the_working_point() -> None:
    # F1 is 2/3 up to threshold 150 (2 true, 2 false positives) and from 161 on (1 true, no false).
    figures = figures_of([(250, 1), (150, 1), (160, 0), (160, 0)])
    assert figures == pytest.approx(
        {"MaxF": 200 / 3, "AP": 100 * (6 + 5 / 2) / 11, "PRE": 50, "REC": 100, "FPR": 100, "FNR": 0, "threshold": 0}
    )


def test_without_other_pixels_the_false_positive_rate_alone_does_not_exist() -> None:
    figures = figures_of([(9, 1), (200, 1), (3, 255)])
    assert math.isnan(figures.pop("FPR"))
    assert figures == {"MaxF": 100, "AP": 100, "PRE": 100, "REC": 100, "FNR": 0, "threshold": 0}


@pytest.mark.parametrize("pixels", [[], [(200, 0), (0, 0)], [(255, 255)]])
def test_without_road_pixels_no_figure_exists(pixels: list[Pixel]) -> None:
    assert all(math.isnan(value) for value in figures_of(pixels).values())
    precision, recall = precision_recall(counts_of(pixels))
    assert precision.isnan().all()
    assert recall.isnan().all()


# ---- the metric ----


def test_categories_and_their_names() -> None:
    road, lane = RoadScore(), RoadScore("lane")
    assert road.categories == ("um", "umm", "uu")
    assert road.names == {"um": "UM_ROAD", "umm": "UMM_ROAD", "uu": "UU_ROAD"}
    assert road.total == "URBAN_ROAD"
    assert lane.categories == ("um",)
    assert lane.names == {"um": "UM_LANE"}
    assert lane.total == "UM_LANE"


def test_urban_is_scored_over_all_pixels_and_is_no_mean_of_categories() -> None:
    um, umm, uu = [(200, 1)] * 8 + [(0, 0)], [(200, 0)] * 3 + [(200, 1)], [(50, 1), (20, 0)]
    metric = RoadScore()
    for category, pixels in (("um", um[:5]), ("umm", umm), ("uu", uu), ("um", um[5:])):
        metric.update(*tensors(pixels), category)
    score = metric.compute()
    assert list(score) == ["UM_ROAD", "UMM_ROAD", "UU_ROAD", "URBAN_ROAD"]
    assert [score[name]["MaxF"] for name in score] == pytest.approx([100, 40, 100, 100 * 20 / 23])
    # Thresholds from 21 on find all 10 road pixels with 3 false ones; the best of um and umm alone is at 1 and 0.
    assert [score[name]["threshold"] * 255 for name in score] == pytest.approx([1, 0, 21, 21])
    assert score["URBAN_ROAD"] == road_scores(metric.totals()[0])
    assert torch.equal(metric.totals()[0], counts_of(um + umm + uu))
    counts = metric.category_counts()
    assert list(counts) == list(score)
    assert torch.equal(counts["UM_ROAD"], counts_of(um))
    assert torch.equal(counts["URBAN_ROAD"], counts_of(um + umm + uu))
    assert metric.totals()[1] == 4
    assert metric.missing() == {}


def test_the_lane_has_one_category_and_no_total() -> None:
    metric = RoadScore("lane")
    metric.update(*tensors([(200, 1), (100, 0)]), "um")
    assert list(metric.compute()) == ["UM_LANE"]
    assert metric.compute()["UM_LANE"]["MaxF"] == 100
    assert list(metric.category_counts()) == ["UM_LANE"]
    assert torch.equal(metric.totals()[0], metric.category_counts()["UM_LANE"])


def test_empty_categories_have_no_figures_and_are_named() -> None:
    metric = RoadScore()
    metric.update(*tensors([(200, 1), (100, 0)]), "um")
    metric.update(*tensors([(200, 0), (255, 255)]), "uu")
    score = metric.compute()
    assert score["UM_ROAD"]["MaxF"] == 100
    for name in ("UMM_ROAD", "UU_ROAD"):
        assert all(math.isnan(value) for value in score[name].values())
    assert score["URBAN_ROAD"]["FPR"] == 50  # one of the two other pixels, that of uu
    assert metric.missing() == {"UMM_ROAD": "no pictures", "UU_ROAD": "no road pixels"}


def test_the_total_is_named_too_where_it_has_no_figures() -> None:
    metric = RoadScore()
    assert metric.missing() == dict.fromkeys(["UM_ROAD", "UMM_ROAD", "UU_ROAD", "URBAN_ROAD"], "no pictures")
    metric.update(*tensors([(200, 0)]), "umm")
    assert metric.missing()["URBAN_ROAD"] == "no road pixels"
    assert RoadScore("lane").missing() == {"UM_LANE": "no pictures"}


def test_wrong_input_is_refused_and_not_counted() -> None:
    metric, lane = RoadScore(), RoadScore("lane")
    confidence, label = torch.zeros(4, 6, dtype=torch.uint8), torch.ones(4, 6, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"torch\.float32.*torch\.uint8"):
        metric.update(confidence.float(), label, "um")
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(4, 5\)"):
        metric.update(confidence, label[:, 1:], "um")
    with pytest.raises(ValueError, match="'urban' is no category, there are: um, umm, uu"):
        metric.update(confidence, label, "urban")
    with pytest.raises(ValueError, match="'uu' is no category, there are: um"):
        lane.update(confidence, label, "uu")
    with pytest.raises(ValueError, match="'urban'"):
        metric.add(confidence_counts(confidence, label), "urban")
    assert metric.totals()[1] == lane.totals()[1] == 0
    assert int(metric.totals()[0].sum()) == 0


@pytest.mark.filterwarnings("error")
def test_counts_can_be_added_and_what_was_read_before_is_not_touched() -> None:
    first, second = [(200, 1), (200, 0)], [(90, 1), (10, 0)]
    updated, added = RoadScore(), RoadScore()
    for pixels in (first, second):
        updated.update(*tensors(pixels), "um")
    added.add(counts_of(first), "um")
    before, score = added.category_counts()["UM_ROAD"], added.compute()
    added.add(counts_of(second), "um")
    assert torch.equal(before, counts_of(first))
    assert added.compute() != score
    np.testing.assert_equal(added.compute(), updated.compute())
    assert added.totals()[1] == updated.totals()[1] == 2


def test_reset_forgets_pictures_and_pixels() -> None:
    metric = RoadScore()
    metric.update(*tensors([(200, 1)]), "um")
    metric.reset()
    assert set(metric.missing().values()) == {"no pictures"}
    metric.update(*tensors([(200, 0)]), "um")
    assert metric.missing()["UM_ROAD"] == "no road pixels"


def test_half_precision_leaves_the_counts_exact() -> None:
    metric = RoadScore().half()
    metric.add(torch.full((2, 256), 2**40 + 1), "um")
    assert int(metric.totals()[0][1, 3]) == 2**40 + 1


# ---- against the slow reference, and properties ----


@pytest.mark.parametrize("seed", range(6))
def test_random_pixels_score_as_in_exact_fractions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = (3, 20, 20, 60, 60, 400)[seed]
    label = rng.choice([0, 1, 255], count, p=[0.5, 0.35, 0.15])
    # Confidence that knows something, in few values (ties) or many.
    confidence = np.clip(rng.normal(90 + 70 * (label == 1), 60, count), 0, 255).astype(int)
    if seed % 2:
        confidence = confidence // 50 * 50
    pixels = list(zip(confidence.tolist(), label.tolist(), strict=True))
    assert figures_of(pixels) == pytest.approx(reference(pixels), rel=1e-12, nan_ok=True)


PIXELS = st.lists(st.tuples(st.sampled_from([0, 1, 90, 127, 128, 254, 255]), st.sampled_from([0, 1, 255])), max_size=12)
PICTURES = st.lists(st.tuples(st.sampled_from(["um", "umm", "uu"]), PIXELS), min_size=1, max_size=7)
examples = settings(max_examples=60, derandomize=True, deadline=None, database=None)


def score_of(pictures: list[tuple[str, list[Pixel]]]) -> RoadScore:
    metric = RoadScore()
    for category, pixels in pictures:
        metric.update(*tensors(pixels), category)
    return metric


@examples
@given(PIXELS)
def test_any_pixels_score_as_in_exact_fractions(pixels: list[Pixel]) -> None:
    assert figures_of(pixels) == pytest.approx(reference(pixels), rel=1e-12, nan_ok=True)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")  # a metric whose pictures all come from others
@examples
@given(PICTURES, st.randoms(use_true_random=False), st.integers(1, 3))
def test_order_and_spread_over_metrics_do_not_change_the_score(pictures, random, ranks) -> None:
    whole = score_of(pictures)
    shuffled = random.sample(pictures, len(pictures))
    metrics = [RoadScore() for _ in range(ranks)]
    for category, pixels in shuffled:
        metrics[random.randrange(ranks)].update(*tensors(pixels), category)
    summed = metrics[0]
    for metric in metrics[1:]:
        summed.merge_state(metric)
    np.testing.assert_equal(summed.compute(), whole.compute())
    assert summed.missing() == whole.missing()
    assert summed.totals()[1] == len(pictures)


@examples
@given(PICTURES)
def test_batches_do_not_change_the_score(pictures) -> None:
    """All of a category's pictures at once, in place of one after the other."""
    batched = RoadScore()
    for category in batched.categories:
        held = [pixels for name, pixels in pictures if name == category]
        if held:
            batched.update(*tensors([pixel for pixels in held for pixel in pixels]), category)
    whole = score_of(pictures)
    np.testing.assert_equal(batched.compute(), whole.compute())
    assert batched.missing() == whole.missing()


@examples
@given(PICTURES)
def test_the_pooled_score_is_that_of_all_pixels_laid_end_to_end(pictures) -> None:
    end_to_end = [pixel for _, pixels in pictures for pixel in pixels]
    np.testing.assert_equal(score_of(pictures).compute()["URBAN_ROAD"], figures_of(end_to_end))


@examples
@given(PIXELS.filter(lambda pixels: any(label == 1 for _, label in pixels)))
def test_max_f_is_the_largest_f1_and_that_of_the_working_point(pixels: list[Pixel]) -> None:
    figures = figures_of(pixels)
    precision, recall = precision_recall(counts_of(pixels))
    f1 = 100 * 2 * precision * recall / (precision + recall)
    held = f1[~f1.isnan()]
    assert len(held) > 0
    assert bool((held <= figures["MaxF"] + 1e-9).all())
    working_point = round(figures["threshold"] * 255)
    assert float(f1[working_point]) == pytest.approx(figures["MaxF"])
    assert float(precision[working_point]) * 100 == pytest.approx(figures["PRE"])
    assert float(recall[working_point]) * 100 == pytest.approx(figures["REC"])
    assert figures["REC"] + figures["FNR"] == pytest.approx(100)
    assert 0 < figures["AP"] <= 100


# ---- real labels ----


def real_label(shared_data: Path, name: str) -> Tensor:
    pixels = cv2.imread(str(shared_data / "kitti_road/training/gt_image_2" / name))  # BGR
    return torch.from_numpy(np.where(pixels[..., 2] == 0, 255, pixels[..., 0] > 0).astype(np.uint8))


def test_real_labels_score_100_against_themselves_and_inverted_ones_do_not(shared_data: Path) -> None:
    perfect, inverted = RoadScore(), RoadScore()
    road = other = 0
    for name in ("um_road_000000.png", "um_road_000001.png"):
        label = real_label(shared_data, name)
        road += int((label == 1).sum())
        other += int((label == 0).sum())
        confidence = (label == 1).byte() * 255
        perfect.update(confidence, label, "um")
        inverted.update(255 - confidence, label, "um")
    best = {"MaxF": 100, "AP": 100, "PRE": 100, "REC": 100, "FPR": 0, "FNR": 0, "threshold": 1 / 255}
    assert perfect.compute()["UM_ROAD"] == perfect.compute()["URBAN_ROAD"] == best
    # All that is left is to call everything road.
    everything = {"MaxF": 200 * road / (2 * road + other), "AP": 100 * road / (road + other), "threshold": 0}
    worst = inverted.compute()["UM_ROAD"]
    assert {name: worst[name] for name in everything} == pytest.approx(everything)
    assert worst["MaxF"] < 50


def test_a_copy_counts_on_its_own() -> None:
    metric = score_of([("um", [(200, 1)])])
    other = copy.deepcopy(metric)
    other.update(*tensors([(100, 0)]), "um")
    other.add(counts_of([(100, 0)]), "um")
    assert (metric.totals()[1], other.totals()[1]) == (1, 3)
    assert int(metric.totals()[0].sum()) == 1
