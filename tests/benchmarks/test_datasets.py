from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segkit.benchmarks.datasets import labelled_pictures, repeat, vary, with_comment
from segkit.data.images import decode_rgb
from segkit.data.records import Record
from segkit.road.dataset import KittiRoadDataModule


@pytest.fixture
def records(kitti_root: Path) -> list[Record]:
    return labelled_pictures({"data": {"root": str(kitti_root)}}, kitti_root)


def prepared(root: Path) -> KittiRoadDataModule:
    data = KittiRoadDataModule(root, [32, 64], 1, split="none", cache_dir=root / "cache")
    data.prepare()
    return data


def test_repeated_pictures_are_as_many_as_asked_for_and_share_their_cache_entries(
    records: list[Record], tmp_path: Path
) -> None:
    repeat(records[:4], tmp_path / "more", 10)
    data = prepared(tmp_path / "more")
    assert len(data.records("train")) == 10
    assert len(list((tmp_path / "more" / "cache").iterdir())) == 4
    for record in data.records("train"):
        assert record.label is not None
        assert record.image.resolve().stem == record.label.resolve().stem.replace("_road", "")


def test_varied_pictures_have_the_same_pixels_and_an_entry_each(records: list[Record], tmp_path: Path) -> None:
    vary(records[:4], tmp_path / "more", 10)
    data = prepared(tmp_path / "more")
    assert len(list((tmp_path / "more" / "cache").iterdir())) == 10
    assert data.records("train")


def test_a_comment_changes_the_file_and_not_the_picture(records: list[Record]) -> None:
    path = records[0].image
    commented = with_comment(path.read_bytes(), "17")
    assert commented != path.read_bytes()
    assert b"Comment\x0017" in commented
    assert np.array_equal(decode_rgb(commented, path), decode_rgb(path.read_bytes(), path))


def test_pictures_are_generated_once_where_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    real = labelled_pictures.__globals__["generate_scenes"]
    monkeypatch.setattr(
        "segkit.benchmarks.datasets.generate_scenes",
        lambda *given: (drawn.append(given), real(*given, workers=1)),
    )
    settings = {"data": {"root": None}, "pictures": 1, "seed": 3}
    assert len(labelled_pictures(settings, tmp_path)) == len(labelled_pictures(settings, tmp_path)) == 1
    assert drawn == [(tmp_path / "scenes", (1, 0), 3)]
