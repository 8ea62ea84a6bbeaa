"""What the scene generator writes: KITTI's layout, counts, sizes and colours; all or nothing; the same for a seed."""

import errno
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.errors import UserError
from segkit.road.layout import CATEGORIES
from segkit.scenes.camera import RIGS
from segkit.scenes.generate import divide, generate_scenes
from segkit.scenes.look import Looks

RED, MAGENTA, BLACK = (255, 0, 0), (255, 0, 255), (0, 0, 0)


def read_rgb(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


def generate(root: Path, count: tuple[int, int], looks: Looks, workers: int) -> dict[str, bytes]:
    generate_scenes(root, count, seed=5, looks=looks, workers=workers)
    return files_of(root)


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes") / "root"
    generate_scenes(root, (7, 3), seed=5, workers=2)
    return root


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


def test_varied_looks_have_the_same_layout_and_other_pictures(generated: Path, tmp_path: Path) -> None:
    varied = generate(tmp_path / "two", (7, 3), "varied", 2)
    assert varied == generate(tmp_path / "one", (7, 3), "varied", 1)
    usual = files_of(generated)
    assert set(varied) == set(usual)
    assert not any(varied[name] == usual[name] for name in varied)
    sizes = {read_rgb(path).shape[:2] for path in (tmp_path / "one").rglob("image_2/*.png")}
    assert len(sizes) == 10


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
        generate_scenes(tmp_path / "new", (3, 0), workers=workers, on_done=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(UserError, match="No space left on device"):
        generate_scenes(tmp_path, (3, 0), workers=1)
    assert list(tmp_path.iterdir()) == []


def test_workers_need_no_torch() -> None:
    code = "import sys, segkit.scenes.generate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_killed_one_left_goes_with_the_next(tmp_path: Path) -> None:
    (tmp_path / ".generating-old/training").mkdir(parents=True)
    (tmp_path / ".generating-old/training/half.png").touch()
    generate_scenes(tmp_path, (1, 0), workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["testing", "training"]


def test_a_set_that_was_whole_when_its_run_was_killed_is_put_in_place_by_the_next(tmp_path: Path) -> None:
    generate_scenes(tmp_path, (1, 1), workers=1)
    expected = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / ".generated").mkdir()
    (tmp_path / "testing").rename(tmp_path / ".generated/testing")
    with pytest.raises(UserError, match="already holds pictures"):
        generate_scenes(tmp_path, (1, 1), workers=1)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["testing", "training"]


def test_two_at_once_do_not_destroy_each_other(tmp_path: Path) -> None:
    told = []

    def second(done: int, total: int) -> None:
        with pytest.raises(UserError, match="another process is writing scenes there") as error:
            generate_scenes(tmp_path, (1, 0), workers=1)
        told.append(str(error.value))

    generate_scenes(tmp_path, (2, 0), workers=1, on_done=second)
    assert len(told) == len(list((tmp_path / "training/image_2").iterdir())) == 2


def test_a_set_that_the_disk_has_no_room_for_is_refused_with_an_estimate(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"count=\[1000000,1000000\]: takes some [\d.]+ GiB, and [\d.]+ GiB are free"):
        generate_scenes(tmp_path / "new", (10**6, 10**6))
    assert not (tmp_path / "new").exists()
