import json
import math
import os
import socket
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torchmetrics import MetricCollection

from segkit.data.records import SegmentationClass
from segkit.data.sampler import EpochSampler
from segkit.metrics import ClassScores
from segkit.road import Calibration
from segkit.road.metric import RoadViews
from segkit.road.score import RoadScore, confidence_counts, road_scores

SIZE = (60, 100)
FOCAL, CENTRE_U, CENTRE_V, HEIGHT = 91.3, 49.7, 24.6, 1.53
"""A camera that looks straight ahead, ``HEIGHT`` metres above the road."""

CLASSES = (SegmentationClass("background", None, background=True), SegmentationClass("road", (0, 255, 0)))


def calibration(height: float = HEIGHT) -> Calibration:
    camera = np.array([[FOCAL, 0, CENTRE_U, 0], [0, FOCAL, CENTRE_V, 0], [0, 0, 1, 0]])
    motion = np.hstack([np.eye(3), np.zeros((3, 1))])
    to_road = motion.copy()
    to_road[1, 3] = -height  # y points down: the camera is at -height
    names = ("P0", "P1", "P2", "P3")
    others = {"R0_rect": np.eye(3), "Tr_velo_to_cam": motion, "Tr_imu_to_velo": motion, "Tr_cam_to_road": to_road}
    return Calibration(dict.fromkeys(names, camera) | others)


def seen_pixels() -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels that the cells show, one entry for each cell that the picture reaches."""
    x = (-10 + (np.arange(400) + 0.5) * 0.05).astype(np.float32).astype(float)
    z = (46 - (np.arange(800)[:, None] + 0.5) * 0.05).astype(np.float32).astype(float)
    u, v = FOCAL * x / z + CENTRE_U, np.broadcast_to(FOCAL * HEIGHT / z + CENTRE_V, (800, 400))
    inside = (u >= 1) & (u <= SIZE[1]) & (v >= 1) & (v <= SIZE[0])
    return np.floor(v[inside]).astype(int) - 1, np.floor(u[inside]).astype(int) - 1


def picture(seed: int) -> tuple[Tensor, Tensor]:
    """Confidence and label at random, (60, 100)."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.tensor([0, 0, 1, 255], dtype=torch.uint8)[torch.randint(0, 4, SIZE, generator=generator)]
    confidence = torch.randint(0, 200, SIZE, generator=generator) + 40 * (label == 1)
    return confidence.byte(), label


# ---- one process ----


def test_both_views_score_what_they_show() -> None:
    rows, columns = seen_pixels()
    views = RoadViews("road")
    image, above = torch.zeros(2, 256, dtype=torch.int64), torch.zeros(2, 256, dtype=torch.int64)
    for seed, group in enumerate(("um", "umm", "uu", "uu")):
        confidence, label = picture(seed)
        views.update(confidence, label, group, calibration())
        image += confidence_counts(confidence, label)
        above += confidence_counts(confidence[rows, columns], label[rows, columns])
    perspective, bev = road_scores(image), road_scores(above)
    assert perspective["MaxF"] != pytest.approx(bev["MaxF"], abs=0.01)
    scores = views.compute()
    assert {name: float(value) for name, value in scores.items()} == {
        "road/perspective/MaxF": perspective["MaxF"],
        "road/perspective/AP": perspective["AP"],
        "road/bev/MaxF": bev["MaxF"],
        "road/bev/AP": bev["AP"],
    }
    assert all(value.dtype == torch.float64 and value.shape == () for value in scores.values())


def test_cells_that_the_picture_does_not_show_are_not_scored() -> None:
    rows, _ = seen_pixels()
    assert 0 < len(rows) < 800 * 400  # the near corners of the grid are outside
    views = RoadViews("road")
    views.update(torch.full(SIZE, 255, dtype=torch.uint8), torch.ones(SIZE, dtype=torch.uint8), "um", calibration())
    expected = torch.zeros(2, 256, dtype=torch.int64)
    expected[1, 255] = len(rows)
    assert float(views.compute()["road/bev/AP"]) == 100
    assert torch.equal(views.bev.totals()[0], expected)


def test_a_view_of_some_of_the_pictures_is_no_score() -> None:
    views = RoadViews("road")
    views.update(*picture(0), "um", calibration())
    assert len(views.compute()) == 4
    views.update(*picture(1), "um", None)
    assert list(views.compute()) == ["road/perspective/MaxF", "road/perspective/AP"]
    views.update(*picture(2), "uu", calibration())
    assert list(views.compute()) == ["road/perspective/MaxF", "road/perspective/AP"]
    views.reset()
    assert views.perspective.totals()[1] == views.bev.totals()[1] == 0
    views.update(*picture(2), "uu", calibration())
    assert len(views.compute()) == 4


def test_pictures_are_counted_together_and_each_once() -> None:
    views, direct = RoadViews("road"), RoadScore()
    for seed in range(40):  # more than are counted together
        group = ("um", "umm", "uu")[seed % 3]
        views.update(*picture(seed % 4), group, calibration())
        direct.update(*picture(seed % 4), group)
    views.compute()
    assert views.perspective.totals()[1] == views.bev.totals()[1] == 40
    assert views.perspective.compute() == direct.compute()
    views.update(*picture(0), "um", calibration())
    views.reset()
    views.update(*picture(1), "um", calibration())
    views.compute()
    assert views.perspective.totals()[1] == 1


def test_the_lane() -> None:
    views = RoadViews("lane")
    label = torch.zeros(SIZE, dtype=torch.uint8)
    label[30:, 40:60] = 1
    views.update(label * 255, label, "um", calibration())
    assert views.compute() == {f"lane/{view}/{name}": 100 for view in ("perspective", "bev") for name in ("MaxF", "AP")}
    with pytest.raises(ValueError, match="'uu' is no category, there are: um"):
        views.update(label, label, "uu", calibration())


def test_without_road_pixels_there_is_no_score() -> None:
    views = RoadViews("road")
    label = torch.zeros(SIZE, dtype=torch.uint8)
    label[:20] = 1  # road in the sky, which the grid does not see
    views.update(label * 255, label, "um", calibration())
    scores = views.compute()
    assert float(scores["road/perspective/MaxF"]) == 100
    assert math.isnan(scores["road/bev/MaxF"])
    assert math.isnan(scores["road/bev/AP"])


def collection() -> MetricCollection:
    return MetricCollection([ClassScores(CLASSES), RoadViews("road")], compute_groups=False)


def update(metrics: MetricCollection, seed: int, group: str = "um", with_calibration: bool = True) -> None:
    confidence, label = picture(seed)
    known = calibration() if with_calibration else None
    predicted = (confidence >= 128).long()
    metrics.update(predicted=predicted, label=label, confidence=confidence, group=group, calibration=known)


def test_a_collection_hands_each_metric_its_keywords_and_names_all_scores() -> None:
    metrics, alone, views = collection(), ClassScores(CLASSES), RoadViews("road")
    for seed in range(3):
        update(metrics, seed)
        confidence, label = picture(seed)
        alone.update((confidence >= 128).long(), label)
        views.update(confidence, label, "um", calibration())
    scores = metrics.compute()
    assert {name: float(value) for name, value in scores.items()} == {
        name: float(value) for name, value in (alone.compute() | views.compute()).items()
    }
    assert {"iou", "mean_iou", "accuracy", "road/perspective/MaxF", "road/bev/MaxF"} <= set(scores)


def test_a_collection_can_be_reset_and_copied() -> None:
    metrics = collection()
    update(metrics, 0, with_calibration=False)
    copied = metrics.clone()
    metrics.reset()
    update(metrics, 1)
    fresh = collection()
    update(fresh, 1)
    assert metrics.compute() == fresh.compute()
    assert "road/bev/MaxF" in metrics.compute()
    assert "road/bev/MaxF" not in copied.compute()
    update(copied, 1)
    assert metrics.compute() == fresh.compute()


def test_all_states_move_with_the_collection_and_stay_there() -> None:
    metrics = collection()
    views = metrics["RoadViews"]
    metrics.to("meta")
    for state in (views.perspective.counts, views.perspective.pictures, views.bev.counts, views.bev.pictures):
        assert state.device.type == "meta"
    metrics.reset()
    assert views.perspective.counts.device.type == views.bev.counts.device.type == "meta"
    assert metrics["ClassScores"].matrix.device.type == "meta"


def test_scores_are_not_part_of_a_checkpoint() -> None:
    assert collection().state_dict() == {}


# ---- several processes ----

PICTURES, CATEGORIES = 5, ("um", "um", "umm", "um", "uu")


def count(score: RoadScore, views: RoadViews, indices: list[int], unknown: int | None) -> None:
    """Count pictures; ``unknown`` is the one without calibration."""
    for index in indices:
        score.update(*picture(index), CATEGORIES[index])
        views.update(*picture(index), CATEGORIES[index], None if index == unknown else calibration())


def results(score: RoadScore, views: RoadViews) -> dict[str, object]:
    return {
        "score": score.compute(),
        "missing": score.missing(),
        "pictures": score.totals()[1],
        "counts": {name: counts.tolist() for name, counts in score.category_counts().items()},
        "total": score.totals()[0].tolist(),
        "views": {name: float(value) for name, value in views.compute().items()},
    }


def run_rank(rank: int, folder: Path) -> None:
    """What each process does: with all three ranks, then with the first two, pictures spread as in validation."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    for world in (3, 2):
        if rank >= world:
            continue
        rendezvous, longest = f"file://{folder}/meet{world}", timedelta(seconds=60)
        dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=world, timeout=longest)
        for length in (PICTURES, 1):
            for unknown in (None, 0):
                score, views = RoadScore(), RoadViews("road")
                own = [key.number for key in EpochSampler(length, 0, rank, world, shuffle=False) if key.counts]
                count(score, views, own, unknown)
                first = results(score, views)
                # Asked again, and after more pictures, each picture is still counted once.
                assert repr(results(score, views)) == repr(first)
                count(score, views, own, unknown)
                twice = results(score, views)
                result = {"own": own, "first": first, "twice": twice["pictures"], "twice_total": twice["total"]}
                name = f"{world}_{length}_{unknown}_{rank}.json"
                (folder / name).write_text(json.dumps(result))
        dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_rank_has_the_score_of_one_process(tmp_path: Path) -> None:
    # The ranks are forked from a server that has imported torch once for all of them.
    mp.get_context("forkserver").set_forkserver_preload(["segkit.road.metric", "torch.distributed"])
    mp.start_processes(run_rank, (tmp_path,), nprocs=3, start_method="forkserver")
    for world in (2, 3):
        for length in (PICTURES, 1):
            for unknown in (None, 0):
                score, views = RoadScore(), RoadViews("road")
                count(score, views, list(range(length)), unknown)
                expected = json.dumps(results(score, views))
                assert ("road/bev/MaxF" in expected) == (unknown is None)
                owned: list[list[int]] = []
                for rank in range(world):
                    result = json.loads((tmp_path / f"{world}_{length}_{unknown}_{rank}.json").read_text())
                    owned.append(result["own"])
                    assert json.dumps(result["first"]) == expected
                    assert result["twice"] == 2 * length
                    assert result["twice_total"] == (2 * score.totals()[0]).tolist()
                assert sorted(index for indices in owned for index in indices) == list(range(length))
                assert ([] in owned) == (length == 1)  # a rank without pictures
