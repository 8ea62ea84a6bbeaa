import fcntl
import gc
import os
import resource
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from segkit.data.cache import PictureCache, entry_shape, load, resized
from segkit.data.records import Record
from segkit.errors import UserError
from tests.fixtures import write_rgb
from tests.processes import Program

SHAPE = (10, 20)


def grey_label(data: bytes, path: Path) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def opened(folder: Path, shape: tuple[int, int] = SHAPE, settings: str = "a") -> PictureCache:
    cache = PictureCache(folder, shape, settings, grey_label)
    cache.open()
    return cache


@pytest.fixture
def record(tmp_path) -> Record:
    rng = np.random.default_rng(0)
    write_rgb(tmp_path / "image.png", rng.integers(0, 256, (31, 43, 3), np.uint8))
    write_rgb(tmp_path / "label.png", rng.choice(np.array([0, 1, 255], np.uint8), (31, 43)))
    return Record("image", "g", tmp_path / "image.png", tmp_path / "label.png")


def test_entries_hold_the_resized_picture_and_the_labels(tmp_path, record):
    entry = opened(tmp_path / "cache").fill(record, evaluation=True)
    image = cv2.imread(str(record.image))[..., ::-1]
    label = cv2.imread(str(record.label), cv2.IMREAD_UNCHANGED)
    pixels = load(entry.pixels)
    assert (pixels.shape, pixels.dtype) == ((*SHAPE, 4), np.uint8)
    np.testing.assert_array_equal(pixels[..., :3], cv2.resize(image, SHAPE[::-1], interpolation=cv2.INTER_AREA))
    np.testing.assert_array_equal(load(entry.own_label), label)


def test_label_pixels_are_those_under_the_new_pixels_centres():
    label = np.arange(9 * 15, dtype=np.uint8).reshape(9, 15)
    rows, columns = np.arange(3) * 3 + 1, np.arange(5) * 3 + 1
    small = resized(np.zeros((9, 15, 3), np.uint8), label, (3, 5))[..., 3]
    np.testing.assert_array_equal(small, label[np.ix_(rows, columns)])


def test_an_unlabelled_picture_is_unscored_and_remembers_its_size(tmp_path, record):
    entry = opened(tmp_path / "cache").fill(Record("image", "g", record.image, None), evaluation=True)
    assert set(load(entry.pixels)[..., 3].ravel()) == {255}
    assert load(entry.own_label).tolist() == [31, 43]


def test_the_key_covers_content_shape_and_settings(tmp_path, record):
    folder = tmp_path / "cache"
    first = opened(folder).fill(record, evaluation=True)
    assert opened(folder).fill(record, evaluation=True) == first
    other_shape = opened(folder, shape=(20, 10)).fill(record, evaluation=True)
    assert other_shape.pixels != first.pixels
    assert other_shape.own_label == first.own_label
    other_settings = opened(folder, settings="b").fill(record, evaluation=True)
    assert {other_settings.pixels, other_settings.own_label}.isdisjoint({first.pixels, first.own_label})


@pytest.mark.parametrize("changed", ["image", "label"])
def test_a_changed_file_is_never_answered_from_the_old_entry(tmp_path, record, changed):
    cache = opened(tmp_path / "cache")
    before = load(cache.fill(record, evaluation=False).pixels)
    path = getattr(record, changed)
    stamp = path.stat().st_mtime_ns
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert cv2.imwrite(str(path), 255 - pixels)
    os.utime(path, ns=(stamp, stamp))
    after = load(cache.fill(record, evaluation=False).pixels)
    channels = slice(0, 3) if changed == "image" else slice(3, 4)
    assert not np.array_equal(before[..., channels], after[..., channels])


@pytest.mark.parametrize("damage", ["truncated", "emptied", "other shape", "trailing", "removed"])
def test_a_damaged_entry_is_filled_again(tmp_path, record, damage):
    cache = opened(tmp_path / "cache")
    entry = cache.fill(record, evaluation=True)
    for path in (entry.pixels, entry.own_label):
        whole = path.read_bytes()
        if damage == "other shape":
            np.save(path, np.zeros((3, 3, 3), np.uint8))
            if path == entry.own_label:
                continue  # any shape may be a label's own
        elif damage == "removed":
            path.unlink()
        else:
            path.write_bytes({"truncated": whole[:-1], "emptied": b"", "trailing": whole + b"x"}[damage])
        assert cache.fill(record, evaluation=True) == entry
        assert path.read_bytes() == whole


def test_a_label_of_another_size_names_both_sizes(tmp_path, record):
    write_rgb(record.label, np.zeros((31, 42), np.uint8))
    with pytest.raises(UserError, match=r"label\.png is 42×31, its image 43×31"):
        opened(tmp_path / "cache").fill(record, evaluation=False)
    assert not list((tmp_path / "cache").iterdir())


def test_two_fillers_at_once_are_both_right(tmp_path, record):
    entries = []
    barrier = threading.Barrier(8)

    def fill() -> None:
        cache = opened(tmp_path / "cache")
        barrier.wait()
        entries.append(cache.fill(record, evaluation=True))

    threads = [threading.Thread(target=fill) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entries) == 8
    assert len(set(entries)) == 1
    assert load(entries[0].pixels).shape == (*SHAPE, 4)
    assert sorted((tmp_path / "cache").iterdir()) == sorted([entries[0].pixels, entries[0].own_label])


def test_leftovers_of_a_killed_run_go_but_those_of_a_running_one_stay(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    old, new = folder / f"{'a' * 32}_own.{'1' * 32}.segkit", folder / f"{'b' * 32}.{'2' * 32}.segkit"
    others = [folder / name for name in ("mine.tmp", "a.1.tmp", "mine.segkit", f"{'a' * 32}.npy")]
    for path in (old, new, *others):
        path.write_bytes(b"half")
    with new.open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        opened(folder)
    assert not old.exists()
    assert new.exists()
    assert all(path.read_bytes() == b"half" for path in others)


def test_no_room_names_the_setting_and_leaves_nothing(tmp_path, record):
    cache = opened(tmp_path / "cache")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(UserError, match=r"data\.cache_dir=.*no room"):
            cache.fill(record, evaluation=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "cache").iterdir())
    assert load(cache.fill(record, evaluation=False).pixels).shape == (*SHAPE, 4)


def test_a_folder_that_cannot_be_made_names_the_setting(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"data\.cache_dir="):
        opened(tmp_path / "file")


def test_an_entry_that_goes_during_the_run_is_named(tmp_path, record):
    entry = opened(tmp_path / "cache").fill(record, evaluation=False)
    entry.pixels.unlink()
    with pytest.raises(UserError, match=r"data\.cache_dir"):
        load(entry.pixels)


def test_an_entry_that_is_cut_off_during_the_run_is_named(tmp_path, record):
    entry = opened(tmp_path / "cache").fill(record, evaluation=False)
    whole = entry.pixels.read_bytes()
    for length in (len(whole) - 1, 20):
        entry.pixels.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"was damaged during the run"):
            load(entry.pixels)


@pytest.mark.parametrize("array", [np.zeros((5, 7, 4), np.uint8), np.zeros((3, 9), np.uint8), np.array([2**40, 3])])
def test_an_entry_is_what_numpy_reads(tmp_path, array):
    array += np.arange(array.size, dtype=array.dtype).reshape(array.shape)
    np.save(tmp_path / "entry.npy", array)
    found = load(tmp_path / "entry.npy")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    assert entry_shape(tmp_path / "entry.npy", array.dtype.type) == array.shape


FILL = """
import sys
from pathlib import Path
import cv2, numpy as np
from segkit.data.cache import PictureCache, entry_shape, load, resized
from segkit.data.records import Record

def grey(data, path):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)

folder = Path(sys.argv[1])
cache = PictureCache(folder / "cache", (400, 800), "a", grey)
cache.open()
print("filling", flush=True)
for image in sorted(folder.glob("image_*")):
    cache.fill(Record(image.stem, "g", image, image.with_name(image.name.replace("image", "label"))), True)
"""


def test_a_fill_that_is_killed_leaves_nothing_wrong_behind(tmp_path):
    rng = np.random.default_rng(0)
    records = []
    for i in range(30):
        write_rgb(tmp_path / f"image_{i}.png", rng.integers(0, 256, (40, 60, 3), np.uint8))
        write_rgb(tmp_path / f"label_{i}.png", rng.choice(np.array([0, 1, 255], np.uint8), (40, 60)))
        records.append(Record(f"image_{i}", "g", tmp_path / f"image_{i}.png", tmp_path / f"label_{i}.png"))
    process = Program(FILL, [str(tmp_path)])
    assert process.stdout.readline() == "filling\n"
    while process.poll() is None and not list((tmp_path / "cache").glob("*.npy")):
        pass
    process.kill()
    process.wait()
    survivors = len(list((tmp_path / "cache").glob("*.npy")))
    assert survivors > 0
    cache, clean = opened(tmp_path / "cache", (400, 800)), opened(tmp_path / "clean", (400, 800))
    for record in records:
        entry, expected = cache.fill(record, evaluation=True), clean.fill(record, evaluation=True)
        assert entry.pixels.read_bytes() == expected.pixels.read_bytes()
        assert entry.own_label.read_bytes() == expected.own_label.read_bytes()


def test_many_threads_look_at_entries_at_once(tmp_path):
    path = tmp_path / "entry.npy"
    np.save(path, np.zeros((3, 4, 4), np.uint8))

    def collecting(phase: str, info: dict) -> None:
        """Python code in the middle of whatever allocates: the points at which threads change."""

    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.callbacks.append(collecting)
    gc.set_threshold(5)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(entry_shape, [path] * 500)) == {(3, 4, 4)}
            assert {array.shape for array in pool.map(load, [path] * 500)} == {(3, 4, 4)}
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(collecting)
        sys.setswitchinterval(interval)
