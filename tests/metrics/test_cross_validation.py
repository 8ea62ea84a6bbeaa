"""Counts of several validations, scored as one."""

import json
import math
import os
import socket
from collections.abc import Sequence
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from pytorch_lightning import Trainer
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from segkit.data.records import SegmentationClass
from segkit.errors import UserError
from segkit.losses.cross_entropy import CrossEntropy
from segkit.metrics import ClassScores, cross_validation
from segkit.metrics.cross_validation import Counts, counts_of, write_counts
from segkit.models.fcn import FCN
from segkit.optim.recipe import Optimization
from segkit.road import Calibration
from segkit.road.dataset import KittiRoadDataModule
from segkit.road.metric import RoadViews
from segkit.road.pooling import ROAD_POOLERS
from segkit.training.task import SegmentationTask
from tests.fixtures import level_camera, write_calibrations, write_kitti

SIZE = (40, 120)
CAMERA = level_camera(70, (60, 15), 1.65)
CLASSES = (SegmentationClass("background", None, background=True), SegmentationClass("road", (0, 255, 0)))


def pooled(counts: Sequence[Counts]) -> dict[str, float]:
    return cross_validation.pooled(counts, ROAD_POOLERS)


def read_counts(path: Path) -> Counts:
    return cross_validation.read_counts(path, ROAD_POOLERS)


def metrics() -> MetricCollection:
    return MetricCollection([ClassScores(CLASSES), RoadViews("road")], compute_groups=False)


def update(collection: MetricCollection, seed: int, calibration: Calibration | None = CAMERA) -> None:
    generator = torch.Generator().manual_seed(seed)
    label = torch.tensor([0, 0, 1, 255], dtype=torch.uint8)[torch.randint(0, 4, SIZE, generator=generator)]
    confidence = (torch.randint(0, 200, SIZE, generator=generator) + 10 * seed * (label == 1)).clamp(max=255).byte()
    predicted = (confidence >= 128).long()
    group = ("um", "umm", "uu")[seed % 3]
    collection.update(predicted=predicted, label=label, confidence=confidence, group=group, calibration=calibration)


def counted(*seeds: int, bare: tuple[int, ...] = ()) -> tuple[Counts, dict[str, float]]:
    """Counts of made-up pictures, ``bare`` those without calibration, and their scores as validation logs them."""
    collection = metrics()
    for seed in (*seeds, *bare):
        update(collection, seed, None if seed in bare else CAMERA)
    scores = {name: float(value) for name, value in collection.compute().items()}
    return counts_of(collection), scores


def by_confidence(other: dict[int, int], road: dict[int, int], pictures: int) -> Any:
    return {"pictures": pictures, "pixels": [[own.get(level, 0) for level in range(256)] for own in (other, road)]}


def test_two_runs_by_hand() -> None:
    names, foreground = ["ground", "road", "car"], ["road", "car"]
    first: Counts = {
        "classes": {"names": names, "foreground": foreground, "pixels": [[8, 1, 1], [0, 4, 0], [0, 0, 0]]},
        "road": {
            "target": "road",
            "perspective": by_confidence({10: 2}, {200: 3}, 1),
            "bev": by_confidence({}, {200: 5}, 1),
        },
    }
    second: Counts = {
        "classes": {"names": names, "foreground": foreground, "pixels": [[0, 0, 0], [2, 2, 0], [0, 0, 0]]},
        "road": {
            "target": "road",
            "perspective": by_confidence({200: 1}, {10: 1}, 2),
            "bev": by_confidence({200: 5}, {}, 2),
        },
    }
    # Together [[8, 1, 1], [2, 6, 0], [0, 0, 0]]: no label holds a car, so it is in no mean.
    # In the picture at the thresholds up to 10: 4 found of 4, 7 called road, F1 8/11. Up to 200: 3 found, 4 called,
    # F1 6/8, precision 3/4, which is the largest up to a recall of 3/4 (8 of 11 steps); beyond it 4/7.
    # From above all of the road is found, 10 called road for 5.
    assert pooled([first, second]) == pytest.approx(
        {
            "iou": 6 / 9,
            "mean_iou": (8 / 12 + 6 / 9) / 2,
            "accuracy": 14 / 18,
            "iou/ground": 8 / 12,
            "iou/road": 6 / 9,
            "road/perspective/MaxF": 75,
            "road/perspective/AP": 100 * (8 * 3 / 4 + 3 * 4 / 7) / 11,
            "road/bev/MaxF": 100 * 2 / 3,
            "road/bev/AP": 50,
        }
    )


def test_one_run_alone_has_its_own_scores() -> None:
    counts, scores = counted(0, 1, 2)
    assert len(scores) == 9
    assert pooled([counts]) == scores


def test_parts_have_the_scores_of_all_pictures_at_once() -> None:
    parts = [counted(0, 1), counted(2), counted(3, 4, 5)]
    _, scores = counted(*range(6))
    assert pooled([counts for counts, _ in parts]) == scores
    assert all(math.isfinite(value) for value in scores.values())
    # The mean of the parts' scores is something else.
    assert abs(np.mean([own["iou"] for _, own in parts]) - scores["iou"]) > 1e-3


def test_the_view_from_above_is_of_all_pictures_or_not_there() -> None:
    whole, scores = counted(0, 1)
    bare, _ = counted(bare=(2,))
    assert {name for name in scores if "/bev/" in name} == {"road/bev/MaxF", "road/bev/AP"}
    together = pooled([whole, bare])
    assert together == counted(0, 1, bare=(2,))[1]
    assert not any("/bev/" in name for name in together)


def test_counting_leaves_the_metrics_as_they_are() -> None:
    collection = metrics()
    update(collection, 0)
    first = counts_of(collection)
    assert counts_of(collection) == first
    update(collection, 1)
    assert counts_of(collection) == counted(0, 1)[0]
    collection.reset()
    assert first == counted(0)[0]


def test_other_metrics_are_left_out() -> None:
    class Own(ClassScores):
        def compute(self) -> dict[str, torch.Tensor]:  # type: ignore[override]
            return {"iou": torch.tensor(0.0)}

    collection = MetricCollection([Own(CLASSES), MulticlassAccuracy(2, ignore_index=255)])
    label = torch.zeros(SIZE, dtype=torch.uint8)
    collection.update(predicted=label.long(), label=label, preds=label.long(), target=label.long())
    assert counts_of(collection) == {}
    assert pooled([{}]) == {}


def test_nothing_scored_has_no_figures(tmp_path: Path) -> None:
    collection = metrics()
    unscored = torch.full(SIZE, 255, dtype=torch.uint8)
    rest = {"confidence": unscored, "group": "um", "calibration": CAMERA}
    collection.update(predicted=torch.zeros(SIZE).long(), label=unscored, **rest)
    scores = pooled([counts_of(collection)])
    assert set(scores) == set(collection.compute())
    assert all(math.isnan(value) for value in scores.values())


# ---- files ----


def test_files_hold_the_same_counts(tmp_path: Path) -> None:
    counts, scores = counted(0, 1)
    for kept in (counts, {}, {"classes": counts["classes"]}):
        write_counts(tmp_path / "counts.json", kept)  # type: ignore[arg-type]
        assert read_counts(tmp_path / "counts.json") == kept
        held = json.loads((tmp_path / "counts.json").read_text())
        assert held.pop("segkit")["format"] == 1
        assert held == kept
    write_counts(tmp_path / "counts.json", counts)
    assert pooled([read_counts(tmp_path / "counts.json")]) == scores


def test_counts_of_version_1_are_read_and_those_of_an_unknown_metric_left_out(tmp_path: Path) -> None:
    counts, _ = counted(0, 1)
    old = {**counts["classes"], "painted": counts["classes"]["foreground"]}
    del old["foreground"]
    (tmp_path / "counts.json").write_text(json.dumps(counts | {"classes": old, "own": [1, 2]}))
    assert read_counts(tmp_path / "counts.json") == counts
    assert cross_validation.read_counts(tmp_path / "counts.json") == {"classes": counts["classes"]}


def damage(counts: Any, *place: Any, value: Any) -> str:
    damaged = deepcopy(counts)
    *above, last = place
    inner = damaged
    for key in above:
        inner = inner[key]
    inner[last] = value
    return json.dumps(damaged)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    counts, _ = counted(0)
    path = tmp_path / "counts.json"
    for text in (
        "",
        "null",
        json.dumps(counts)[:1000],
        damage(counts, "classes", "pixels", 0, 1, value=-1),
        damage(counts, "classes", "pixels", 0, 1, value=1.5),
        damage(counts, "classes", "pixels", 0, 1, value=None),
        damage(counts, "classes", "pixels", 0, value=[1]),
        damage(counts, "classes", "pixels", value=[]),
        damage(counts, "classes", "foreground", value=["car"]),
        damage(counts, "classes", value={"names": ["road"]}),
        damage(counts, "road", "target", value="river"),
        damage(counts, "road", "bev", "pixels", value=[[0] * 255] * 2),
        damage(counts, "road", "perspective", "pixels", value=[[0] * 256]),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=r"counts\.json is damaged \(.*\); segkit evaluate checkpoint=") as error:
            read_counts(path)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"missing\.json cannot be read \(No such file or directory\)"):
        read_counts(tmp_path / "missing.json")


def test_unlike_runs_are_not_scored_as_one() -> None:
    counts, _ = counted(0)
    classes, road = counts["classes"], counts["road"]
    swapped: Any = counts | {"classes": classes | {"names": ["road", "background"]}}
    unpainted: Any = counts | {"classes": classes | {"foreground": []}}
    lane: Any = counts | {"road": road | {"target": "lane"}}
    others: list[tuple[Any, str]] = [
        (swapped, "classes background, road in one, road, background in another"),
        (unpainted, "scored classes road in one, none in another"),
        (lane, "road score of road in one, lane in another"),
        ({"classes": classes}, "road score of road in one, none in another"),
        ({}, "classes background, road in one, none in another"),
    ]
    for other, message in others:
        with pytest.raises(UserError, match=f"these runs cannot be scored as one: {message}"):
            pooled([counts, counts, other])


# ---- a run ----


def test_a_run_keeps_the_counts_behind_its_scores_in_its_checkpoint(tmp_path: Path) -> None:
    root = write_kitti(tmp_path / "kitti", count=2, tests=0)
    write_calibrations(root)
    data = KittiRoadDataModule(
        root, [32, 64], 2, split="fraction", val_fraction=0.5, cache_dir=tmp_path / "cache", workers=0
    )
    data.prepare()
    torch.manual_seed(0)
    network, metrics = (
        FCN(2, encoder="vgg16_bn", fc_channels=8),
        [*data.metrics(), MulticlassAccuracy(2, ignore_index=255)],
    )
    task = SegmentationTask(
        network, CrossEntropy(), Optimization(torch.optim.Adam), data.class_list, data.picture_input, metrics
    )
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    trainer.fit(task, data)
    trainer.save_checkpoint(tmp_path / "best.ckpt", weights_only=True)
    kept = torch.load(tmp_path / "best.ckpt", weights_only=True)["segkit"]

    # Of the last validation alone: three pictures, each with all its scored pixels.
    assert kept["counts"]["road"]["perspective"]["pictures"] == kept["counts"]["road"]["bev"]["pictures"] == 3
    labels = [data.read_label(record.label) for record in data.records("val") if record.label is not None]
    assert sum(map(sum, kept["counts"]["classes"]["pixels"])) == sum(int((label != 255).sum()) for label in labels)
    write_counts(tmp_path / "counts.json", kept["counts"])
    scores = pooled([read_counts(tmp_path / "counts.json")])
    assert set(kept["scores"]) - set(scores) == {"loss", "MulticlassAccuracy"}
    # Lightning keeps what is logged as float32.
    assert {name: float(np.float32(value)) for name, value in scores.items()} == {
        name: kept["scores"][name] for name in scores
    }
    assert {"iou", "iou/road", "road/perspective/MaxF", "road/bev/AP"} <= set(scores)


# ---- several processes ----


def run_rank(rank: int, folder: Path) -> None:
    """Two pictures for the one process and none for the other, then one for each."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    longest = timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2, timeout=longest)
    for number, own in enumerate(([[0, 1], []], [[0], [1]])):
        collection = metrics()
        for seed in own[rank]:
            update(collection, seed)
        before = counts_of(collection)
        collection.compute()
        assert counts_of(collection) == before
        (folder / f"{number}_{rank}.json").write_text(json.dumps(before))
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_several_processes_have_the_counts_of_all(tmp_path: Path) -> None:
    mp.get_context("forkserver").set_forkserver_preload(["segkit.metrics.cross_validation", "torch.distributed"])
    mp.start_processes(run_rank, (tmp_path,), nprocs=2, start_method="forkserver")
    expected, _ = counted(0, 1)
    for name in ("0_0", "0_1", "1_0", "1_1"):
        assert json.loads((tmp_path / f"{name}.json").read_text()) == expected, name
