"""The loader without a network: the first epoch, later ones, augmentation, and what its processes hold in memory.

Compared, in one run and on the same files:

- the first epoch, ``prepare`` into an empty folder (decode, check, resize, write), with OpenCV decoding the same
  pictures and labels and doing nothing else, in as many processes as ``prepare`` has threads;
- later epochs, batches as they come from ``train_dataloader`` in one process, with the loader of the paper's script,
  which decodes and resizes every picture and label anew and compares colours, in one process too. Their figures are
  per second of a core's work, which other programs on the machine change little.

Where there is a GPU, also the batches of a set that lies on it (``resident_table``).

The candidates take turns, and a ratio is the median over the turns of the ratio within a turn: what else the machine
does hits both.
"""

import logging
import multiprocessing
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from segkit.benchmarks.datasets import labelled_pictures, repeat, vary
from segkit.benchmarks.resident import resident_table
from segkit.benchmarks.table import Table, file_name, rounded
from segkit.config.compose import composed, resolved
from segkit.config.instantiate import build
from segkit.data.augment import SampleAugmentation
from segkit.data.png import isal_zlib
from segkit.data.records import Record
from segkit.data.workers import start_worker
from segkit.distributed.cores import cores
from segkit.road.dataset import KittiRoadDataModule

SHAPE, LARGE_SHAPE = (160, 576), (384, 1248)
BATCH = 16
TURNS = 7
AUGMENTATIONS = ("none", "flip", "road", "street", "albumentations")
PUBLISHED = 289
"""Pictures of KITTI road, for which the memory is stated."""
LOADERS = ((1, PUBLISHED), (2, PUBLISHED), (2, PUBLISHED // 10))
"""Worker processes and pictures of the loaders whose memory is measured."""

RED = (0, 0, 255)
"""What is not road in a label, as OpenCV orders channels."""

Pair = tuple[str, str]
"""Files of a picture and its label."""

log = logging.getLogger(__name__)


def run(settings: dict[str, Any], folder: Path) -> list[Table]:
    """Speed of the loader's parts, and memory of its processes.

    Raises:
        UserError: ``data.root`` is not KITTI road's folder.
    """
    scratch = folder / "scratch"
    records = labelled_pictures(settings, scratch)
    root = scratch / "loader"
    repeat(records, root, len(records))
    rows = [first_epoch(root, shape, scratch) for shape in (SHAPE, LARGE_SHAPE)]
    # In a process of its own, set up as a loader's worker is: one thread.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), start_worker, (0,)) as alone:
        rows += alone.submit(later_epochs, root, scratch).result()
    for row in rows:
        log.info("%s: %s times as fast as %s", row["what"], rounded(row["ratio"]), row["compared_with"])
    decoder = "ISA-L" if isal_zlib else "OpenCV (isal is not installed)"
    remarks = [f"{cores()} cores, {len(records)} pictures, their files in the system's memory; PNG through {decoder}"]
    remarks.append("speeds and ratios are medians of several turns, each of its own")
    speed = Table(
        file_name("loader", "uint8", "nhwc", None), "The loader against decoding at every epoch", rows, remarks
    )
    tables = [speed, memory_table(records, scratch)]
    if torch.cuda.is_available():
        modules = {name: _module(root, SHAPE, scratch / "later", augment=name) for name in AUGMENTATIONS}
        for data in modules.values():
            data.prepare()
        tables.append(resident_table(modules, torch.device("cuda", 0)))
    return tables


def first_epoch(root: Path, shape: tuple[int, int], scratch: Path) -> dict[str, Any]:
    """``prepare`` into an empty folder against OpenCV decoding the same files in processes that have started before."""
    pairs = _pairs(root)
    cache = scratch / "first"
    context = multiprocessing.get_context("spawn")

    def ours() -> None:
        _module(root, shape, cache).prepare()

    with context.Pool(cores(), start_worker, (0,)) as pool:

        def theirs() -> None:
            pool.map(decode, pairs, chunksize=2)

        theirs()
        turns = []
        for _ in range(TURNS):
            turns.append((_seconds(ours, time.perf_counter), _seconds(theirs, time.perf_counter)))
            shutil.rmtree(cache)
    return _row("first epoch", shape, cores(), len(pairs), turns, "OpenCV decoding alone")


def later_epochs(root: Path, scratch: Path) -> list[dict[str, Any]]:
    """``train_dataloader`` with each of ``AUGMENTATIONS`` against the paper's loader. Run in a process of its own."""
    pairs = _pairs(root)
    loaders = {}
    for name in AUGMENTATIONS:
        data = _module(root, SHAPE, scratch / "later", augment=name)
        data.prepare()
        loaders[name] = data.train_dataloader()
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in loaders}
    for epoch in range(TURNS):
        theirs = _seconds(lambda: paper_epoch(pairs, SHAPE), time.process_time)
        for name, loader in loaders.items():
            loader.sampler.set_epoch(epoch)  # type: ignore[union-attr]
            turns[name].append((_seconds(lambda loader=loader: deque(loader, 0), time.process_time), theirs))  # type: ignore[misc]
    return [
        _row(f"later epochs, augment={name}", SHAPE, 1, len(pairs), turns[name], "the paper's loader") for name in turns
    ]


def shipped(name: str) -> SampleAugmentation:
    """The augmentation of ``conf/augment/<name>.yaml``."""
    config = resolved(composed("data", [f"augment={name}"]))
    augmentation: SampleAugmentation = build("augment", config["augment"], SampleAugmentation)
    return augmentation


def decode(pair: Pair) -> None:
    """Decode a picture and its label with OpenCV."""
    for path in pair:
        cv2.imread(path)


def paper_epoch(pairs: Sequence[Pair], shape: tuple[int, int]) -> None:
    """An epoch of the paper's loader: batches of pictures uint8 (B, H, W, 3) and one-hot labels bool (B, H, W, 2)."""
    for start in range(0, len(pairs), BATCH):
        samples = [paper_sample(pair, shape) for pair in pairs[start : start + BATCH]]
        np.array([image for image, _ in samples])
        np.array([label for _, label in samples])


def paper_sample(pair: Pair, shape: tuple[int, int]) -> tuple[NDArray, NDArray]:
    """Picture uint8 (H, W, 3) and one-hot label bool (H, W, 2): red, and all that is not."""
    height, width = shape
    image, label = (cv2.resize(cv2.imread(path), (width, height)) for path in pair)  # type: ignore[arg-type]
    background = np.all(label == RED, axis=2)[..., None]
    return image, np.concatenate([background, ~background], axis=2)


def memory_table(records: Sequence[Record], scratch: Path) -> Table:
    """What each worker process of a loader holds after an epoch, against the number of workers and of pictures.

    ``worker_pss_mib`` is a worker's memory with its part of what it shares with other processes, ``worker_private_mib``
    what is its alone. The cache is in neither: workers read a picture at a time, from files that the system keeps in
    memory once for all of them.
    """
    rows = []
    for workers, count in LOADERS:
        root = scratch / f"varied-{count}"
        if not root.exists():
            vary(records, root, count)
        cache = scratch / f"varied-{count}-cache"
        data = _module(root, LARGE_SHAPE, cache, workers=workers)
        data.prepare()
        before = set(multiprocessing.active_children())
        batches = data.train_dataloader()
        deque(batches, 0)
        held = [memory(process.pid) for process in set(multiprocessing.active_children()) - before if process.pid]
        row = {
            "height": LARGE_SHAPE[0],
            "width": LARGE_SHAPE[1],
            "pictures": count,
            "cache_mib": sum(path.stat().st_size for path in cache.iterdir()) / 2**20,
            "workers": workers,
            "worker_pss_mib": median(figures["Pss"] for figures in held),
            "worker_private_mib": median(figures["Private_Clean"] + figures["Private_Dirty"] for figures in held),
        }
        log.info("%d workers, %d pictures: %s MiB each", workers, count, rounded(row["worker_pss_mib"]))
        rows.append(row)
    title = f"Memory of the loader's processes, batch {BATCH}"
    return Table(file_name("loader-memory", "uint8", "nhwc", None), title, rows, [])


def memory(process: int | str) -> dict[str, float]:
    """MiB of a process by kind (``Rss``, ``Pss``, ``Private_Dirty``, …), as Linux counts them."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    return {kind.rstrip(":"): int(kib) / 1024 for kind, kib, _ in map(str.split, lines)}


def _module(
    root: Path, shape: tuple[int, int], cache: Path, augment: str = "flip", workers: int = 0
) -> KittiRoadDataModule:
    own = shipped(augment)
    return KittiRoadDataModule(root, shape, BATCH, split="none", augment=own, workers=workers, cache_dir=cache)


def _pairs(root: Path) -> list[Pair]:
    labelled = _module(root, SHAPE, root).labelled()
    return [(str(record.image), str(record.label)) for record in labelled]


def _seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return clock() - started


def _row(
    what: str,
    shape: tuple[int, int],
    processes: int,
    pictures: int,
    turns: Sequence[tuple[float, float]],
    compared_with: str,
) -> dict[str, Any]:
    """A row from the seconds that ours and theirs took in each turn."""
    return {
        "what": what,
        "height": shape[0],
        "width": shape[1],
        "processes": processes,
        "images_per_second": pictures / median(ours for ours, _ in turns),
        "compared_with": compared_with,
        "their_images_per_second": pictures / median(theirs for _, theirs in turns),
        "ratio": median(theirs / ours for ours, theirs in turns),
    }
