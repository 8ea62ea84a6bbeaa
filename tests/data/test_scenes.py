"""The scene generator: KITTI's layout and counts, labels that agree with the calibration, and worthwhile scenes."""

import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.data.scenes.camera import RIGS, make_calibration
from segkit.data.scenes.difficulty import best_grey_threshold_iou
from segkit.data.scenes.generate import divide, generate_scenes
from segkit.data.scenes.layout import CATEGORIES, CentreLine, View, locate
from segkit.data.scenes.objects import Thing
from segkit.data.scenes.render import render
from segkit.errors import UserError

RED, MAGENTA, BLACK = (255, 0, 0), (255, 0, 255), (0, 0, 0)


def read_rgb(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def homography_of(text: str) -> np.ndarray:
    """(x, z, 1) on the road to pixels, read from a calibration file as KITTI's users do."""
    rows = dict(line.split(":") for line in text.strip().splitlines())
    numbers = {name: np.array(row.split(), float) for name, row in rows.items()}
    rectify, to_road = np.eye(4), np.eye(4)
    rectify[:3, :3] = numbers["R0_rect"].reshape(3, 3)
    to_road[:3] = numbers["Tr_cam_to_road"].reshape(3, 4)
    return (numbers["P2"].reshape(3, 4) @ rectify @ np.linalg.inv(to_road))[:, [0, 2, 3]]


def to_pixels(homography: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    points = homography @ np.stack([x, z, np.ones_like(x)])
    return (points[:2] / points[2]).T


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes") / "root"
    generate_scenes(root, (7, 3), seed=5, workers=2)
    return root


def straight_view(*things: Thing) -> View:
    """A view along a road without bends on which nothing but the given things stands."""
    view = locate(3, "training", "um", 0)
    return replace(view, drive=replace(view.drive, line=CentreLine((), (), ()), things=things))


def test_shares_are_those_of_the_real_set() -> None:
    assert divide(289, "training") == {"um": 95, "umm": 96, "uu": 98}
    assert divide(290, "testing") == {"um": 96, "umm": 94, "uu": 100}
    assert divide(3, "training") == {"um": 1, "umm": 1, "uu": 1}
    for count in range(400):
        shares = divide(count, "training")
        assert sum(shares.values()) == count
        assert count < 3 or min(shares.values()) > 0


def test_layout_is_exactly_kittis(generated: Path) -> None:
    training = [f"{category}_{n:06d}" for category, count in divide(7, "training").items() for n in range(count)]
    testing = [f"{category}_{n:06d}" for category in CATEGORIES for n in range(1)]
    expected = {f"training/image_2/{name}.png" for name in training}
    expected |= {f"training/calib/{name}.txt" for name in training}
    expected |= {f"training/gt_image_2/{name.replace('_', '_road_')}.png" for name in training}
    expected |= {f"training/gt_image_2/{name.replace('_', '_lane_')}.png" for name in training if name[:3] == "um_"}
    expected |= {f"testing/image_2/{name}.png" for name in testing} | {f"testing/calib/{name}.txt" for name in testing}
    assert set(files_of(generated)) == expected
    assert [path.name for path in generated.iterdir() if path.name not in ("training", "testing")] == []


def test_pictures_have_real_sizes_and_labels_real_colours(generated: Path) -> None:
    sizes = {(rig[1], rig[0]) for rig in RIGS}
    for path in generated.rglob("image_2/*.png"):
        assert read_rgb(path).shape[:2] in sizes
    for path in generated.rglob("gt_image_2/*_road_*.png"):
        label = read_rgb(path)
        assert label.shape == read_rgb(path.parents[1] / "image_2" / path.name.replace("_road", "")).shape
        red, magenta, black = ((label == colour).all(-1) for colour in (RED, MAGENTA, BLACK))
        assert red.any()
        assert (red | magenta | black).all()
        assert 0.04 < magenta.mean() < 0.45
    for path in generated.rglob("gt_image_2/*_lane_*.png"):
        lane = read_rgb(path)
        road = read_rgb(path.with_name(path.name.replace("_lane_", "_road_")))
        on_lane, on_road = (lane == MAGENTA).all(-1), (road == MAGENTA).all(-1)
        assert 0 < on_lane.sum() < on_road.sum()
        assert not (on_lane & ~on_road).any()
        np.testing.assert_array_equal((lane == BLACK).all(-1), (road == BLACK).all(-1))


def test_a_picture_depends_on_seed_and_name_alone(generated: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    generate_scenes(tmp_path / "one", (4, 0), seed=5, workers=1, on_done=lambda done, total: seen.append((done, total)))
    fewer, more = files_of(tmp_path / "one"), files_of(generated)
    assert fewer
    assert {name: more[name] for name in fewer} == fewer
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    generate_scenes(tmp_path / "other", (3, 0), seed=6, workers=1)
    other = files_of(tmp_path / "other")
    assert all(other[name] != more[name] for name in other)


@pytest.mark.parametrize("part", ["training", "testing"])
def test_a_root_with_pictures_is_left_alone(tmp_path: Path, part: str) -> None:
    own = tmp_path / part / "image_2" / "um_000000.png"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"already holds pictures \(.*um_000000.png\)"):
        generate_scenes(tmp_path, (3, 1), workers=1)
    assert files_of(tmp_path) == {f"{part}/image_2/um_000000.png": b"mine"}


@pytest.mark.parametrize(
    ("count", "seed", "workers", "named"),
    [((0, 0), 0, 1, "count"), ((-1, 3), 0, 1, "count"), ((3, 0), -1, 1, "seed"), ((3, 0), 0, 0, "workers")],
)
def test_wrong_settings_are_named(tmp_path: Path, count: tuple[int, int], seed: int, workers: int, named: str) -> None:
    with pytest.raises(UserError, match=named):
        generate_scenes(tmp_path / "root", count, seed=seed, workers=workers)
    assert not (tmp_path / "root").exists()


def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    with pytest.raises(UserError, match="cannot write there"):
        generate_scenes(tmp_path / "root", (3, 0), workers=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, workers: int) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_scenes(tmp_path, (3, 0), workers=workers, on_done=stop)
    assert list(tmp_path.iterdir()) == []


def test_workers_need_no_torch() -> None:
    code = "import sys, segkit.data.scenes.generate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_projection_by_hand() -> None:
    calibration = make_calibration(0, height=1.6, pitch=0.0, roll=0.0)
    # The camera is 0.01 m right of the road's origin, 0.29 m ahead and 1.6 m above: no rotation is left.
    x, z = 2.0, 20.0
    right, depth = x - 0.01, z - 0.29
    u = (721.5 * (right + 0.062) + 609.6 * (depth + 0.003)) / (depth + 0.003)
    v = (721.5 * 1.6 + 172.9 * (depth + 0.003)) / (depth + 0.003)
    np.testing.assert_allclose(to_pixels(homography_of(calibration.text()), np.array([x]), np.array([z])), [[u, v]])
    np.testing.assert_allclose(calibration.project(np.array([x, 0.0, z])), [u, v])
    # Tilted down the far road rises in the picture; rolled to the right the horizon falls to the left.
    level, tilted, rolled = (
        make_calibration(0, 1.6, *turn).project(np.array([[-50.0, 0, 1000.0], [50.0, 0, 1000.0]]))[:, 1]
        for turn in ((0.0, 0.0), (0.02, 0.0), (0.0, 0.02))
    )
    assert (tilted < level - 10).all()
    assert rolled[0] > rolled[1]


def test_calibration_files_look_like_the_real_ones(shared_data: Path, generated: Path) -> None:
    def shapes(path: Path) -> list[tuple[str, int]]:
        number = r"-?\d\.\d{12}e[+-]\d\d"
        lines = path.read_text().splitlines()
        for line in lines:
            assert re.fullmatch(rf"\w+:( {number})+", line)
        return [(line.split(":")[0], len(line.split()) - 1) for line in lines]

    real = sorted((shared_data / "kitti_road" / "testing" / "calib").glob("*.txt"))
    own = sorted(generated.rglob("calib/*.txt"))
    expected = shapes(real[0])
    ahead = np.array([0.0, 0.0, -3.0, 3.0]), np.array([8.0, 30.0, 15.0, 15.0])
    seen = np.array([to_pixels(homography_of(path.read_text()), *ahead) for path in real])
    for path in own:
        assert shapes(path) == expected
        found = to_pixels(homography_of(path.read_text()), *ahead)
        assert (found > seen.min(0) - 25).all()
        assert (found < seen.max(0) + 25).all()


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("number", [0, 7])
def test_labels_agree_with_layout_and_calibration(category: str, number: int) -> None:
    view = locate(5, "training", category, number)
    picture = render(view)
    homography = homography_of(view.calibration.text())
    rng = np.random.default_rng(0)
    z = rng.uniform(4.0, 60.0, 4000)
    x = rng.uniform(-1.2, 1.2, 4000) * z
    road, lane, unscored = view.surface(x, z)
    rows, columns = picture.road.shape
    checked = {0: 0, 1: 0}
    for (u, v), on_road, on_lane, off in zip(to_pixels(homography, x, z), road, lane, unscored, strict=True):
        column, row = round(u), round(v)
        if not (1 <= column < columns - 1 and 1 <= row < rows - 1):
            continue
        window = slice(row - 1, row + 2), slice(column - 1, column + 2)
        if picture.hidden[window].any():
            continue
        assert (255 if off else int(on_road)) in picture.road[window]
        assert (255 if off else int(on_lane)) in picture.lane[window]
        checked[int(on_road)] += 1
    assert min(checked.values()) > 100


def test_straight_borders_are_straight_in_the_label() -> None:
    view = straight_view()
    picture = render(view)
    homography = homography_of(view.calibration.text())
    vanishing = []
    for edge, side in zip(view.drive.section.road, (0, -1), strict=True):
        d, s = np.full(2, edge), view.s + np.array([5.0, 100.0])
        near, far = to_pixels(homography, *view.road_coordinates(d, s))
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
    horizon = homography @ [view.centre(np.array([1e6]))[0], 1e6, 1]
    np.testing.assert_allclose((u / w, v / w), horizon[:2] / horizon[2], atol=0.1)


def test_a_car_hides_the_road_and_the_nearer_one_wins() -> None:
    def car(s: float, style: int) -> Thing:
        return Thing("car", s, 0.0, 4.2, 1.75, 1.5, style)

    free = straight_view()
    homography = homography_of(free.calibration.text())
    place = free.road_coordinates(np.zeros(1), np.array([free.s + 12.0]))
    u, v = to_pixels(homography, *place)[0].round().astype(int)
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
            assert after.calibration.size == before.calibration.size
        else:
            assert before.frame == before.drive.frames - 1
            assert after.frame == 0
            lengths.append(after.drive.frames)
    assert len(lengths) > 3
    assert len({view.calibration.size for view in (locate(2, "training", "uu", n) for n in range(60))}) == len(RIGS)


def test_best_grey_threshold_by_hand() -> None:
    image = np.repeat(np.array([[10, 100, 100, 101, 102, 200, 7]], np.uint8)[..., None], 3, axis=2)
    label = np.array([[0, 1, 0, 1, 1, 1, 255]], np.uint8)
    # [100, 200] finds all four road pixels and one other.
    assert best_grey_threshold_iou([(image, label)]) == pytest.approx(4 / 5)
    # A second picture with much of everything else at 200 makes [100, 102] the best: 3 of 4, one wrong.
    other = np.full((4, 4, 3), 200, np.uint8)
    both = [(image, label), (other, np.zeros((4, 4), np.uint8))]
    assert best_grey_threshold_iou(both) == pytest.approx(3 / 5)
    with pytest.raises(ValueError, match="no pixel"):
        best_grey_threshold_iou([(image, np.zeros((1, 7), np.uint8))])


def test_grey_alone_does_not_solve_the_scenes() -> None:
    pictures = (render(locate(0, "training", category, 4 * n)) for category in CATEGORIES for n in range(10))
    assert best_grey_threshold_iou((picture.image, picture.road) for picture in pictures) < 0.6
