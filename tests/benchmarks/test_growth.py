from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from segkit.benchmarks import growth
from segkit.benchmarks.datasets import labelled_pictures
from segkit.benchmarks.programs import ProgramError, Speed
from segkit.benchmarks.table import Table
from segkit.config.compose import composed, resolved


class FakePrograms:
    """A pixel takes the same time wherever it is, four GPUs do the work of three, and batch 64 does not fit."""

    precision = "bf16"

    def __init__(self, settings: dict[str, Any], scratch: Path, gpus: Sequence[int]) -> None:
        self.settings, self.gpus, self.records = settings, gpus, []

    def segkit(self, case: Sequence[int], processes: int = 1) -> Speed:
        height, width, batch = case
        if batch == 64:
            raise ProgramError("train.py failed:\nout of GPU memory")
        return Speed(1e8 / (height * width) * {1: 1, 2: 2, 4: 3}[processes], batch / 10)


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "Programs", FakePrograms)
    monkeypatch.setattr(
        growth, "gpu_name", lambda gpus: f"{len(gpus)} × NVIDIA H200" if len(gpus) > 1 else "NVIDIA H200"
    )
    monkeypatch.setattr(growth.torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(growth, "cache_table", lambda records, counts, scratch: Table("cache", "", [], list(counts)))


def by_name(tables: list[Table]) -> dict[str, Table]:
    return {table.name.split("-bf16")[0]: table for table in tables}


@pytest.mark.usefixtures("faked")
def test_another_network_has_tables_of_its_own(tmp_path: Path) -> None:
    model = resolved(composed("bench", ["model=fpn"]))["model"]
    settings = {"gpus": "auto", "cases": None, "cache_pictures": [5], "model": model}
    tables = growth.run(settings, tmp_path)
    assert {table.name.split("-bf16")[0] for table in tables} == {
        *(f"growth-{along}-fpn-resnet34" for along in ("area", "batch", "gpus", "model")),
        "cache",
    }
    assert "fpn resnet34" in tables[0].remarks[0]


@pytest.mark.usefixtures("faked")
def test_tables_along_area_batch_and_gpus(tmp_path: Path) -> None:
    model = resolved(composed("bench", []))["model"]
    settings = {"gpus": "auto", "cases": None, "cache_pictures": [5], "model": model}
    tables = by_name(growth.run(settings, tmp_path))
    assert list(tables) == ["growth-area", "growth-batch", "growth-gpus", "growth-model", "cache"]
    area = tables["growth-area"].rows
    assert {round(row["megapixels_per_second"]) for row in area} == {100}
    assert area[1]["ratio_to_first"] == pytest.approx(96 * 320 / (160 * 576))
    batches = tables["growth-batch"]
    assert [row["batch_per_gpu"] for row in batches.rows] == [1, 2, 4, 8, 16, 32, 64, 128]
    assert batches.rows[4]["step_ms"] == pytest.approx(1000 * 16 / (1e8 / (160 * 576)))
    assert batches.rows[6]["images_per_second"] != batches.rows[6]["images_per_second"]  # NaN
    assert batches.remarks[-1] == "160×576, batch 64: out of GPU memory"
    gpus = tables["growth-gpus"]
    assert gpus.name.endswith("-4xh200")
    assert [(row["gpus"], row["ratio_to_first"]) for row in gpus.rows] == [(1, 1), (2, 2), (4, 3)]
    assert {round(row["step_ms"], 6) for row in gpus.rows[:2]} == {round(gpus.rows[0]["step_ms"], 6)}
    predicted = tables["growth-model"]
    assert predicted.name.endswith("-4xh200")
    held = {row["gpus"]: row for row in predicted.rows if row["measured_step_ms"] is not None}
    assert {count: row["measured_step_ms"] for count, row in held.items()} == {
        row["gpus"]: row["step_ms"] for row in gpus.rows[1:]
    }
    for row in held.values():
        assert row["error_percent"] == pytest.approx(
            100 * (row["step_ms"] - row["measured_step_ms"]) / row["measured_step_ms"]
        )


@pytest.mark.usefixtures("faked")
def test_given_cases_take_the_place_of_areas_and_batches(tmp_path: Path) -> None:
    model = resolved(composed("bench", []))["model"]
    settings = {"gpus": 0, "cases": [[32, 64, 2]], "cache_pictures": [5], "model": model}
    tables = by_name(growth.run(settings, tmp_path))
    assert list(tables) == ["growth-cases", "cache"]
    assert [(row["gpus"], row["batch_per_gpu"]) for row in tables["growth-cases"].rows] == [(0, 2)]


@pytest.mark.parametrize(("most", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_doublings(most: int, counts: list[int]) -> None:
    assert growth.doublings(most) == counts


def test_the_cache_grows_with_the_number_of_different_pictures(
    kitti_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "CACHED_SHAPE", [16, 32])
    records = labelled_pictures({"data": {"root": str(kitti_root)}}, tmp_path)
    rows = growth.cache_table(records, [4, 12], tmp_path / "scratch").rows
    header = 128  # bytes of a .npy file before its values
    assert [row["cache_gib"] * 2**30 for row in rows] == [n * (header + 16 * 32 * 4) for n in (4, 12)]
    assert [row["pictures"] for row in rows] == [4, 12]
    assert list((tmp_path / "scratch").iterdir()) == []
