"""A whole data set of road scenes in KITTI road's layout, rendered in parallel."""

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from segkit.data.records import IGNORE_INDEX
from segkit.distributed.cores import cores
from segkit.distributed.processes import die_with_parent
from segkit.errors import UserError
from segkit.road.layout import CATEGORIES, PARTS, PUBLISHED, Category, Part
from segkit.runs.files import locked_folder
from segkit.scenes.arrays import Array
from segkit.scenes.drives import along, locate
from segkit.scenes.labels import Extra
from segkit.scenes.look import Looks
from segkit.scenes.render import render

# BGR by label value: not road, road, not scored.
_COLOURS = np.zeros((256, 3), np.uint8)
_COLOURS[0], _COLOURS[1], _COLOURS[IGNORE_INDEX] = (0, 0, 255), (255, 0, 255), (0, 0, 0)
# Pictures are noisy: more effort takes twice the time and saves nothing.
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB)


STAGING, WHOLE = ".generating-", ".generated"
"""How the folder is called in which pictures lie until all are written, and then until both parts are in place."""

BYTES = {"kitti": 700_000, "varied": 250_000}
"""Of a picture with its labels, a little less than they take."""


class _Job(NamedTuple):
    root: Path
    seed: int
    part: Part
    category: Category
    number: int
    looks: Looks
    also: tuple[Extra, ...]
    drive: int = 0
    """How many frames its drive has; 0: it is no frame of a drive along its road."""


def divide(count: int, part: Part) -> dict[Category, int]:
    """Share ``count`` pictures among the categories as the real set does; none stays empty from 3 pictures on."""
    weights = [PUBLISHED[part][category] for category in CATEGORIES]
    exact = [count * weight / sum(weights) for weight in weights]
    shares = [int(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: shares[index] - exact[index])
    for index in by_remainder[: count - sum(shares)]:
        shares[index] += 1
    return dict(zip(CATEGORIES, shares, strict=True))


def generate_scenes(
    root: Path,
    count: tuple[int, int],
    seed: int = 0,
    looks: Looks = "kitti",
    also: Sequence[Extra] = (),
    drive: int | None = None,
    workers: int | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``count`` (training, test) pictures with labels and calibration under ``root`` in KITTI road's layout.

    A picture depends on seed, looks, part, category and number alone. ``also`` names further labels of the training
    pictures: each gets a folder of its name beside theirs, with files of their names, as in KITTI's semantic benchmark.
    ``drive``: instead of ``count`` pictures the frames of one drive along its road, in their order, ten a second; all
    are training pictures of the category um.
    ``workers`` processes render (``None``: one for each CPU this process may use, 1: no further process).
    ``on_done(done, total)`` is called after each picture.
    The two parts appear under ``root`` when all is written, or not at all.

    Raises ``UserError`` for a wrong count, seed or drive, for a ``root`` that holds pictures already, and where the
    disk refuses.
    """
    if len(count) != 2 or min(count) < 0 or sum(count) < 1:
        raise UserError(f"count={list(count)}: expected [training, test] pictures, none negative, e.g. count=[289,290]")
    if drive is not None and (drive < 1 or looks != "kitti"):
        raise UserError(
            f"drive={drive}: expected 1 or more frames, and looks=kitti: varied pictures are of a drive each"
        )
    if seed < 0:
        raise UserError(f"seed={seed}: expected 0 or more")
    if workers is not None and workers < 1:
        raise UserError(f"workers={workers}: expected 1 or more")
    new = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked_folder(root, f"data.root={root}: another process is writing scenes there; wait for it"):
            _put_in_place(root)  # what one that was killed has completed
            _check_place(root, count, looks, drive)
            for leftover in root.glob(f"{STAGING}*"):  # of a killed one, else it would have the lock
                shutil.rmtree(leftover, ignore_errors=True)
            _generate(root, lambda staging: _jobs(staging, count, seed, looks, also, drive or 0), workers, on_done)
    except OSError as error:
        raise UserError(f"data.root={root}: cannot write there ({error.strerror}); choose another folder") from error
    finally:
        if new and root.is_dir() and not any(root.iterdir()):
            root.rmdir()


def _check_place(root: Path, count: tuple[int, int], looks: Looks, drive: int | None) -> None:
    """Refuse a ``root`` that holds pictures already, or has no room for those that are wanted."""
    for part in PARTS:
        held = _held(root / part)
        if held is not None:
            raise UserError(
                f"{root} already holds pictures ({held.relative_to(root)}); nothing was written.\n"
                "Choose another data.root, or delete its training/ and testing/ folders first."
            )
    needed, there = (drive or sum(count)) * BYTES[looks], shutil.disk_usage(root).free
    if needed > there:
        asked = f"drive={drive}" if drive else f"count=[{count[0]},{count[1]}]"
        raise UserError(
            f"{asked}: takes some {needed / 2**30:.1f} GiB, and {there / 2**30:.1f} GiB are free at data.root={root}; "
            "give fewer pictures, or another disk"
        )


def _generate(
    root: Path, make_jobs: Callable[[Path], list[_Job]], workers: int | None, on_done: Callable[[int, int], None] | None
) -> None:
    """Write the pictures beside their place, and put both parts there when all are whole."""
    staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=root))
    try:
        jobs = make_jobs(staging)
        for done, _ in enumerate(_run(jobs, workers or cores()), start=1):
            if on_done is not None:
                on_done(done, len(jobs))
        os.replace(staging, root / WHOLE)
        _put_in_place(root)
    except OSError as error:
        raise UserError(f"data.root={root}: writing failed ({error.strerror}); nothing was kept") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put_in_place(root: Path) -> None:
    """Move the parts of a whole set to ``root``, where no pictures have come to lie since."""
    for part in PARTS:
        if (root / WHOLE / part).is_dir() and _held(root / part) is None:
            shutil.rmtree(root / part, ignore_errors=True)
            os.replace(root / WHOLE / part, root / part)
    shutil.rmtree(root / WHOLE, ignore_errors=True)


def _held(folder: Path) -> Path | None:
    """A file below a folder."""
    return next((path for path in folder.rglob("*") if not path.is_dir()), None)


def _jobs(root: Path, count: tuple[int, int], seed: int, looks: Looks, also: Sequence[Extra], drive: int) -> list[_Job]:
    jobs, also = [], tuple(dict.fromkeys(also))
    for part, pictures in zip(PARTS, count, strict=True):
        labelled = also if part == "training" else ()
        for folder in ("image_2", "calib", *(("gt_image_2", *labelled) if part == "training" else ())):
            (root / part / folder).mkdir(parents=True)
        if drive:
            shares: dict[Category, int] = {"um": drive if part == "training" else 0}
        else:
            shares = divide(pictures, part)
        for category, share in shares.items():
            jobs += [_Job(root, seed, part, category, number, looks, labelled, drive) for number in range(share)]
    return jobs


def _run(jobs: list[_Job], workers: int) -> Iterator[Path]:
    workers = min(workers, len(jobs))
    if workers == 1:
        for job in jobs:
            yield _write(job)
        return
    # Spawned: a fork of a process that runs threads, as training does, may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        try:
            for future in as_completed([pool.submit(_write, job) for job in jobs]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    die_with_parent()
    cv2.setNumThreads(0)  # the workers are the parallelism


def _write(job: _Job) -> Path:
    """Render one picture into its files; returns the picture's."""
    if job.drive:
        view = along(job.seed, job.drive, job.number)
    else:
        view = locate(job.seed, job.part, job.category, job.number, job.looks)
    picture = render(view, job.also)
    folder, name = job.root / job.part, f"{job.number:06d}"
    path = folder / "image_2" / f"{job.category}_{name}.png"
    _save(path, cv2.cvtColor(picture.image, cv2.COLOR_RGB2BGR))
    (folder / "calib" / f"{job.category}_{name}.txt").write_text(view.calibration.text(), encoding="ascii")
    if job.part == "training":
        _save(folder / "gt_image_2" / f"{job.category}_road_{name}.png", _COLOURS[picture.road])
        if job.category == "um":
            _save(folder / "gt_image_2" / f"{job.category}_lane_{name}.png", _COLOURS[picture.lane])
    for also, label in picture.also.items():
        _save(folder / also / path.name, label)
    return path


def _save(path: Path, image: Array) -> None:
    # Encoded in memory, since OpenCV's own writer reports a full disk by a return value at best.
    _, data = cv2.imencode(".png", image, _PNG)
    path.write_bytes(data.tobytes())
