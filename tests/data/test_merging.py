"""Classes merged and selected by name."""

from pathlib import Path

import numpy as np
import pytest

from segkit.data.datasets.camvid import CamVidDataModule
from segkit.data.merging import merged
from segkit.data.records import SegmentationClass
from segkit.errors import UserError

OLD = [SegmentationClass(name, (i, i, i)) for i, name in enumerate(("road", "car", "bus", "tree", "sky"))]


def numbers(merge: dict[str, list[str]]) -> tuple[list[str], list[int]]:
    found = merged(OLD, merge, "data.classes")
    return [item.name for item in found.class_list], found.table[[0, 1, 2, 3, 4, 255]].tolist()


def test_what_is_not_named_is_background() -> None:
    assert numbers({"vehicle": ["car", "bus"], "road": ["road"]}) == (
        ["background", "vehicle", "road"],
        [2, 1, 1, 0, 0, 255],
    )
    found = merged(OLD, {"vehicle": ["bus", "car"], "road": ["road"]}, "data.classes").class_list
    assert [(item.colour, item.background) for item in found] == [(None, True), ((2, 2, 2), False), ((0, 0, 0), False)]


def test_ignored_classes_count_nowhere() -> None:
    assert numbers({"road": ["road"], "ignore": ["sky", "tree"]}) == (["background", "road"], [1, 0, 0, 255, 255, 255])


def test_there_is_no_background_where_all_are_named() -> None:
    assert numbers({"ground": ["road"], "rest": ["car", "bus", "tree"], "ignore": ["sky"]}) == (
        ["ground", "rest"],
        [0, 1, 1, 1, 255, 255],
    )


def test_background_may_be_named() -> None:
    merge = {"road": ["road"], "background": ["sky"]}
    assert numbers(merge) == (["road", "background"], [0, 1, 1, 1, 1, 255])
    assert merged(OLD, merge, "data.classes").class_list[1].background


@pytest.mark.parametrize(
    ("merge", "line"),
    [
        ({"vehicle": ["cra"]}, r"data\.classes: there is no class cra; did you mean car\? There are road, car"),
        ({"a": ["car"], "b": ["car"]}, "car is named twice"),
        ({"a": []}, r"data\.classes\.a: names no class"),
        ({"ignore": ["car"]}, "names no class to find"),
    ],
)
def test_a_wrong_merge_is_one_line(merge: dict[str, list[str]], line: str) -> None:
    with pytest.raises(UserError, match=line):
        numbers(merge)


def test_camvids_classes_are_merged_from_file_to_batch(camvid_root: Path, tmp_path: Path) -> None:
    def module(**settings) -> CamVidDataModule:
        return CamVidDataModule(camvid_root, [30, 40], 2, workers=0, cache_dir=tmp_path / "cache", **settings)

    plain, few = module(), module(classes={"thing": ["car", "pole"], "sky": ["sky"], "ignore": ["tree"]})
    counts, own = few.pixel_counts(), plain.pixel_counts()
    assert [item.name for item in few.class_list] == ["background", "thing", "sky"]
    assert counts.tolist() == [own.sum() - own[[0, 2, 5, 8]].sum(), own[2] + own[8], own[0]]
    few.setup()
    label = next(iter(few.val_dataloader()))["label"][0]
    assert np.unique(label).tolist() == [0, 1, 2, 255]
    with pytest.raises(UserError, match=r"data\.classes=roads: should be all or road, or a merge such as"):
        module(classes="roads")


def test_classes_that_are_not_learned_as_such_are_named(tmp_path: Path) -> None:
    def left_out(classes: str | dict[str, list[str]]) -> dict[str, list[str]]:
        return CamVidDataModule(tmp_path, [30, 40], 2, classes=classes).left_out

    assert left_out("all") == {}
    assert left_out("road")["ignored"] == []
    assert left_out("road")["background"][:3] == ["sky", "building", "pole"]
    names = ["sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence"]
    assert left_out({"thing": ["car"], "ignore": names}) == {
        "ignored": names,
        "background": ["pedestrian", "bicyclist"],
    }
