"""A drive along its road: whole seconds are frames of a drive as they always were, and what lies between is smooth."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from segkit.errors import UserError
from segkit.scenes.drives import FPS, _view, along, make_drive
from segkit.scenes.generate import generate_scenes
from segkit.scenes.render import render


def test_every_tenth_frame_is_one_of_a_drive_as_it_was() -> None:
    drive = make_drive(3, "training", "um", 0, 4)
    for second in range(3):
        view, usual = along(3, 3 * FPS, second * FPS), _view(drive, second)
        assert view.calibration.text() == usual.calibration.text()
        assert (view.s, view.d, view.yaw, view.frame) == (usual.s, usual.d, usual.yaw, usual.frame)


def test_the_car_moves_evenly_and_sways_little() -> None:
    views = [along(0, 60, number) for number in range(60)]
    step = views[0].drive.step
    assert 4 <= step <= 10
    for before, after in pairwise(views):
        assert after.s - before.s == pytest.approx(step / FPS)
        # A second's sway, spread over it: at 20 m never more than ten pixels from a frame to the next.
        pixels = [view.calibration.ground_homography() @ (0.0, 20.0, 1.0) for view in (before, after)]
        first, second = (pixel[:2] / pixel[2] for pixel in pixels)
        assert np.abs(first - second).max() < 10
        assert abs(after.yaw - before.yaw) < 0.01


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_run_into(seed: int) -> None:
    for number in range(0, 600, 5):
        view = along(seed, 600, number)
        for thing in view.drive.things:
            ahead = thing.at(view.frame).s - view.s
            if thing.kind == "car" and abs(thing.d - view.d) < 1:
                assert not -thing.length < ahead < 4, f"{thing} at {number}"


def test_frames_that_follow_each_other_look_alike_and_so_do_their_labels() -> None:
    pictures = [render(along(3, 40, number)) for number in (10, 11, 20)]
    grey = [picture.image.mean(-1) for picture in pictures]
    near, far = (np.abs(grey[0] - other).mean() for other in grey[1:])
    assert near < 0.7 * far
    changed, changed_far = ((pictures[0].road != other.road).mean() for other in pictures[1:])
    assert changed < 0.03
    assert changed < changed_far
    assert not np.array_equal(pictures[0].image, pictures[1].image)


def test_frames_are_training_pictures_in_their_order(tmp_path: Path) -> None:
    generate_scenes(tmp_path, (289, 290), seed=3, drive=3, also=("semantic",), workers=1)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    folders = ("calib/um_{}.txt", "gt_image_2/um_lane_{}.png", "gt_image_2/um_road_{}.png")
    folders += ("image_2/um_{}.png", "semantic/um_{}.png")
    assert names == [f"training/{name.format(f'{number:06d}')}" for name in folders for number in range(3)]
    assert (tmp_path / "testing" / "image_2").is_dir()


@pytest.mark.parametrize(("drive", "looks"), [(0, "kitti"), (5, "varied")])
def test_a_drive_of_no_frame_and_a_varied_one(tmp_path: Path, drive: int, looks: str) -> None:
    with pytest.raises(UserError, match=f"^drive={drive}: expected 1 or more frames, and looks=kitti"):
        generate_scenes(tmp_path / "root", (3, 0), looks=looks, drive=drive, workers=1)  # type: ignore[arg-type]
    assert not (tmp_path / "root").exists()
