"""Caches whose files are of another kind: they are made again, not believed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.hostile.harness import TRAINING, Case
from tests.hostile.ingredients import MODEL_WORDS, device, fifo, loop

Change = Callable[[Path], object]
ENTRY = (32, 64, 4)


def _array(array: np.ndarray) -> Change:
    return lambda path: np.save(path, array)


def _replaced(change: Change) -> Change:
    def replaced(path: Path) -> None:
        path.unlink()
        change(path)

    return replaced


def _own(path: Path) -> bool:
    return path.stem.endswith(("_own", "_counts"))


def _whole(folder: Path) -> None:
    """Every entry is as it has to be."""
    for path in (folder / ".cache").glob("*.npy"):
        array = np.load(path)
        assert _own(path) or (array.shape == ENTRY and array.dtype == np.uint8), path
        assert not path.stem.endswith("_own") or (array.dtype, array.ndim) in ((np.uint8, 2), (np.int64, 1)), path
        assert not path.stem.endswith("_counts") or (array.dtype, array.shape) == (np.int64, (256,)), path


def rebuilt(name: str, change: Change, which: str = "") -> Case:
    """Every file of one kind damaged; training goes through it all the same."""

    def built(folder: Path) -> Sequence[str]:
        entries = [
            path for path in (folder / ".cache").glob("*.npy") if path.stem.endswith(which) if which or not _own(path)
        ]
        assert entries
        for path in entries:
            change(path)
        words = ["loss.weights=inverse_log"] if which == "_counts" else []
        return ["train", *MODEL_WORDS, *TRAINING, *words, "hydra.run.dir=again"]

    return Case(f"cache{which}: {name}", built, "best epoch 1", 0, (".cache", "again"), check=_whole, trained=True)


def refused(name: str, change: Change, expected: str) -> Case:
    def built(folder: Path) -> Sequence[str]:
        change(next(path for path in sorted((folder / ".cache").glob("*.npy")) if not _own(path)))
        return ["train", *MODEL_WORDS, *TRAINING, "hydra.run.dir=again"]

    return Case(f"cache: {name}", built, expected, 2, (".cache",), trained=True)


CASES = [
    rebuilt("of another dtype", _array(np.zeros((32, 64), np.uint32))),
    rebuilt("of another shape", _array(np.zeros((32, 65, 4), np.uint8))),
    rebuilt("columns first", _array(np.asfortranarray(np.zeros(ENTRY, np.uint8)))),
    rebuilt("text", lambda path: path.write_text("no array")),
    rebuilt("empty", lambda path: path.write_bytes(b"")),
    rebuilt("code", lambda path: np.save(path, np.array([print]), allow_pickle=True)),
    rebuilt("a header that is none", lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535)),
    rebuilt("longer than it says", lambda path: path.write_bytes(path.read_bytes() + b"more")),
    rebuilt("a pipe", _replaced(fifo)),
    rebuilt("a device", _replaced(device)),
    rebuilt("a link to itself", _replaced(loop)),
    rebuilt("of another dtype", _array(np.zeros((40, 120), np.float32)), "_own"),
    rebuilt("one number", _array(np.zeros((), np.uint8)), "_own"),
    refused("a folder", _replaced(Path.mkdir), r"data\.cache_dir=.*\.npy there is a folder; remove it"),
]
