from pathlib import Path

from segkit.benchmarks.scenes import at_kittis_size, run
from segkit.scenes.camera import RIGS
from segkit.scenes.drives import locate
from segkit.scenes.render import render


def test_each_case_is_drawn_and_compared_with_kittis(tmp_path: Path) -> None:
    (table,) = run({"pictures": 1, "seed": 0}, tmp_path)
    every = "kitti, every object"
    expected = ["kitti", every, f"{every}, instances, depth", "varied", "varied, at KITTI's size"]
    assert [row["looks"] for row in table.rows] == expected
    assert table.rows[0]["ratio_to_kitti"] == 1
    for row in table.rows:
        assert row["scenes_per_second"] > 0
        assert row["megapixels_per_second"] > 0.1 * row["scenes_per_second"]


def test_a_view_at_kittis_size_is_the_same_place_in_a_picture_as_large_as_kittis() -> None:
    view = locate(0, "training", "um", 1, "varied")
    resized = at_kittis_size(view)
    assert render(resized).road.shape == (RIGS[0].height, RIGS[0].width)
    assert (resized.calibration.matrices["Tr_cam_to_road"] == view.calibration.matrices["Tr_cam_to_road"]).all()
    assert (resized.calibration.matrices["P2"] != view.calibration.matrices["P2"]).any()
