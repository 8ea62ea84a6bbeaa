"""What a picture counts in each view, and what is read off the counts of many."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from segkit.data.records import IGNORE_INDEX, Record
from segkit.road.evaluation import GRID, RoadEvaluation, in_view
from segkit.road.score import confidence_counts
from tests.fixtures import level_camera

SIZE = (40, 120)
CAMERA = level_camera(70, (60, 15), 1.65)


def record(folder: Path, name: str = "um_000000") -> Record:
    path = folder / f"{name}.txt"
    path.write_text(CAMERA.text())
    return Record(name, name.partition("_")[0], folder / f"{name}.png", folder / "label.png", {"calibration": path})


def test_what_the_picture_does_not_show_is_not_scored() -> None:
    ones = torch.ones(SIZE, dtype=torch.uint8)
    confidence, label = in_view("bev", ones * 200, ones, CAMERA)
    seen = torch.from_numpy(GRID.seen(CAMERA, SIZE))
    assert 0 < int((~seen).sum()) < seen.numel()
    assert torch.equal(label, torch.where(seen, 1, IGNORE_INDEX).byte())
    assert torch.equal(confidence, torch.where(seen, 200, 0).byte())


def test_a_map_from_above_is_scored_as_it_is() -> None:
    above = torch.randint(0, 256, GRID.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    confidence, _ = in_view("bev", above, torch.ones(SIZE, dtype=torch.uint8), CAMERA)
    assert torch.equal(confidence, above)


def test_f1_of_each_picture_at_the_common_working_point(tmp_path: Path) -> None:
    road = RoadEvaluation("road", ["perspective"])
    label = torch.tensor([[1, 1, 0, 0]], dtype=torch.uint8)
    maps = {
        "um_000000": [200, 200, 10, 10],  # right at 200
        "um_000001": [200, 10, 200, 10],  # one of two found, one too many
        "umm_000000": [200, 200, 200, 10],  # both found, one too many
    }
    for name, values in maps.items():
        item = record(tmp_path, name)
        road.add(item, road.count(item, torch.tensor([values], dtype=torch.uint8), label))
    empty = record(tmp_path, "uu_000000")
    road.add(empty, road.count(empty, torch.tensor([[0]], dtype=torch.uint8), torch.tensor([[0]], dtype=torch.uint8)))
    # At 11…200: 5 found of 6, 7 called road.
    assert road.working_point("perspective") == 11
    f1 = road.f1("perspective")
    assert f1["um_000000"] == pytest.approx(100)
    assert f1["um_000001"] == pytest.approx(50)
    assert f1["umm_000000"] == pytest.approx(80)
    assert math.isnan(f1["uu_000000"])
    result = road.result()["perspective"]
    assert result["URBAN_ROAD"]["MaxF"] == pytest.approx(100 * 2 * 5 / (6 + 7))
    assert result["UU_ROAD"]["reason"] == "no road pixels"
    assert "reason" not in result["UM_ROAD"]


def test_both_views_are_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    confidence = torch.from_numpy(rng.integers(0, 256, SIZE, np.uint8))
    label = torch.from_numpy(rng.choice(np.array([0, 1, IGNORE_INDEX], np.uint8), SIZE))
    road = RoadEvaluation("road", ["perspective", "bev"])
    counts = road.count(record(tmp_path), confidence, label)
    assert torch.equal(counts["perspective"], confidence_counts(confidence, label))
    above = confidence_counts(GRID.warp(confidence, CAMERA), GRID.warp(label, CAMERA, IGNORE_INDEX))
    assert torch.equal(counts["bev"], above)
