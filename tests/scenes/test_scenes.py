"""The scenes: labels that agree with the calibration, consistent drives, and nothing that grey alone solves."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segkit.data.difficulty import best_grey_threshold_iou, grey_histograms
from segkit.road.birds_eye import BirdsEyeView, to_pixels
from segkit.road.calibration import Calibration
from segkit.road.layout import CATEGORIES
from segkit.scenes.camera import RIGS, make_calibration
from segkit.scenes.drives import locate
from segkit.scenes.layout import CentreLine, View
from segkit.scenes.look import Looks
from segkit.scenes.objects import Thing
from segkit.scenes.render import render


def drawn_at(calibration: Calibration, x: Any, z: Any) -> np.ndarray:
    """Column and row, (..., 2), at which points of the road are drawn: the renderer's whole numbers are pixel centres.

    It takes the calibration's coordinates as they are; the benchmark counts them from 1 at the first pixel's edge.
    """
    return np.stack(to_pixels(x, z, calibration), -1) + 1


def straight_view(*things: Thing) -> View:
    """A view along a road without bends on which nothing but the given things stands."""
    view = locate(3, "training", "um", 0)
    return replace(view, drive=replace(view.drive, line=CentreLine((), (), ()), things=things))


def test_projection_by_hand() -> None:
    calibration = make_calibration(RIGS[0], height=1.6, pitch=0.0, roll=0.0)
    # The camera is 0.01 m right of the road's origin, 0.29 m ahead and 1.6 m above: no rotation is left.
    x, z = 2.0, 20.0
    right, depth = x - 0.01, z - 0.29
    u = (721.5 * (right + 0.062) + 609.6 * (depth + 0.003)) / (depth + 0.003)
    v = (721.5 * 1.6 + 172.9 * (depth + 0.003)) / (depth + 0.003)
    np.testing.assert_allclose(drawn_at(calibration, x, z), [u, v])
    # Tilted down the far road rises in the picture; rolled to the right the horizon falls to the left.
    level, tilted, rolled = (
        drawn_at(make_calibration(RIGS[0], 1.6, *turn), np.array([-50.0, 50.0]), 1000.0)[:, 1]
        for turn in ((0.0, 0.0), (0.02, 0.0), (0.0, 0.02))
    )
    assert (tilted < level - 10).all()
    assert rolled[0] > rolled[1]


def test_calibration_files_look_like_the_real_ones(shared_data: Path, tmp_path: Path) -> None:
    def shapes(text: str) -> list[tuple[str, int]]:
        number = r"-?\d\.\d{12}e[+-]\d\d"
        lines = text.splitlines()
        for line in lines:
            assert re.fullmatch(rf"\w+:( {number})+", line)
        return [(line.split(":")[0], len(line.split()) - 1) for line in lines]

    real = sorted((shared_data / "kitti_road" / "testing" / "calib").glob("*.txt"))
    expected = shapes(real[0].read_text())
    ahead = np.array([0.0, 0.0, -3.0, 3.0]), np.array([8.0, 30.0, 15.0, 15.0])
    seen = np.array([drawn_at(Calibration.from_file(path), *ahead) for path in real])
    written = tmp_path / "calib.txt"
    for number in range(20):
        text = locate(0, "testing", "umm", number).calibration.text()
        assert shapes(text) == expected
        written.write_text(text)
        found = drawn_at(Calibration.from_file(written), *ahead)
        assert (found > seen.min(0) - 25).all()
        assert (found < seen.max(0) + 25).all()


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize(
    ("looks", "number"), [("kitti", 0), ("kitti", 7), *(("varied", number) for number in range(6))]
)
def test_labels_agree_with_layout_and_calibration(category: str, looks: Looks, number: int) -> None:
    view = locate(5, "training", category, number, looks)
    picture = render(view)
    rng = np.random.default_rng(0)
    z = rng.uniform(4.0, 60.0, 4000)
    x = rng.uniform(-1.2, 1.2, 4000) * z
    road, lane, unscored = view.surface(x, z)
    rows, columns = picture.road.shape
    checked = {0: 0, 1: 0}
    for (u, v), on_road, on_lane, off in zip(drawn_at(view.calibration, x, z), road, lane, unscored, strict=True):
        column, row = round(u), round(v)
        if not (1 <= column < columns - 1 and 1 <= row < rows - 1):
            continue
        window = slice(row - 1, row + 2), slice(column - 1, column + 2)
        if picture.hidden[window].any():
            continue
        assert (255 if off else int(on_road)) in picture.road[window]
        assert (255 if off else int(on_lane)) in picture.lane[window]
        checked[int(on_road)] += 1
    assert min(checked.values()) > (100 if looks == "kitti" else 20)


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize(("looks", "numbers", "farthest"), [("kitti", [2], 46.0), ("varied", range(6), 12.0)])
def test_the_label_seen_from_above_is_the_layout(
    category: str, looks: Looks, numbers: Sequence[int], farthest: float
) -> None:
    """A pixel of a wide or low camera covers metres of what is far away: varied scenes are compared near by."""
    grid = BirdsEyeView()
    x, z = grid.to_metres(*np.indices(grid.shape))
    shifts = (0.0, -0.5, 0.5)
    agreeing = {sideways: 0 for sideways in shifts}
    compared = 0
    for number in numbers:
        view = locate(5, "training", category, number, looks)
        picture = render(view)
        road = grid.warp(picture.road, view.calibration, fill=255)
        free = (grid.warp(picture.hidden, view.calibration, fill=True) == 0) & (z < farthest)
        compared += int(free.sum())
        for sideways in shifts:
            on_road, _, unscored = view.surface(x + sideways, z)
            agreeing[sideways] += int((road == np.where(unscored, 255, on_road))[free].sum())
    assert compared > 0.25 * x.size
    assert agreeing[0.0] > 0.975 * compared
    assert max(agreeing[-0.5], agreeing[0.5]) < agreeing[0.0] - 0.01 * compared


def test_straight_borders_are_straight_in_the_label() -> None:
    view = straight_view()
    picture = render(view)
    vanishing = []
    for edge, side in zip(view.drive.section.road, (0, -1), strict=True):
        z = np.array([5.0, 100.0])
        near, far = drawn_at(view.calibration, edge + view.centre(z), z)
        # One pixel line through two far apart points of the border …
        offsets = []
        for row in range(int(far[1]) + 3, picture.road.shape[0]):
            expected = near[0] + (row - near[1]) / (far[1] - near[1]) * (far[0] - near[0])
            columns = np.flatnonzero(picture.road[row] == 1)
            if 2 < expected < picture.road.shape[1] - 3:
                offsets.append(columns[side] - expected)
        # … runs along the label's border in every row.
        assert len(offsets) > 40
        assert np.abs(offsets).max() <= 1.0
        vanishing.append(np.cross([*near, 1], [*far, 1]))
    u, v, w = np.cross(*vanishing)
    far_away = np.array([1e6])
    np.testing.assert_allclose([(u / w, v / w)], drawn_at(view.calibration, view.centre(far_away), far_away), atol=0.1)


def test_a_car_hides_the_road_and_the_nearer_one_wins() -> None:
    def car(s: float, style: int) -> Thing:
        return Thing("car", s, 0.0, 4.2, 1.75, 1.5, style)

    free = straight_view()
    z = np.array([12.0])
    u, v = drawn_at(free.calibration, free.centre(z), z)[0].round().astype(int)
    assert render(free).road[v, u] == 1
    white, red = 6, 4
    pair = render(straight_view(car(free.s + 11.0, red), car(free.s + 16.0, white)))
    assert pair.road[v - 8, u] == 0
    assert pair.hidden[v - 8, u]
    boot = pair.image[v - 32 : v - 26, u - 25 : u + 25].astype(int)
    assert (boot[..., 0] > boot[..., 1] + 30).mean() > 0.6  # red but for the number plate


def test_frames_of_a_drive_are_steps_along_one_road() -> None:
    views = [locate(2, "training", "umm", number) for number in range(30)]
    lengths = [views[0].drive.frames]
    for before, after in pairwise(views):
        if after.drive is before.drive or after.drive.key == before.drive.key:
            assert after.frame == before.frame + 1
            assert after.s - before.s == pytest.approx(before.drive.step)
            assert after.drive.size == before.drive.size
        else:
            assert before.frame == before.drive.frames - 1
            assert after.frame == 0
            lengths.append(after.drive.frames)
    assert len(lengths) > 3
    assert len({view.drive.size for view in (locate(2, "training", "uu", n) for n in range(60))}) == len(RIGS)


@pytest.mark.parametrize(
    ("category", "colour", "road", "unscored", "hidden"),
    [
        ("um", (99.595, 98.808, 89.396), 60884, 77, 337656),
        ("umm", (72.517, 77.662, 71.955), 113134, 0, 266739),
        ("uu", (89.842, 82.729, 75.605), 74268, 0, 325986),
    ],
)
def test_a_seed_draws_what_it_always_drew(
    category: str, colour: tuple[float, ...], road: int, unscored: int, hidden: int
) -> None:
    """Whoever draws the scenes of an older version again gets them; processors may round a pixel differently."""
    picture = render(locate(0, "training", category, 1))
    np.testing.assert_allclose(picture.image.reshape(-1, 3).mean(0), colour, atol=0.01)
    counted = (picture.road == 1).sum(), (picture.road == 255).sum(), picture.hidden.sum()
    np.testing.assert_allclose(counted, (road, unscored, hidden), atol=20)


def test_grey_alone_does_not_solve_the_scenes() -> None:
    pictures = (render(locate(0, "training", category, 4 * n)) for category in CATEGORIES for n in range(10))
    histograms = sum(grey_histograms(picture.image, picture.road) for picture in pictures)
    assert best_grey_threshold_iou(histograms) < 0.6
