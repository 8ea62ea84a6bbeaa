"""The base of every data module: check, cache, batches. What is particular to a data set is left to its subclass."""

import inspect
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Len
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset
from torchmetrics import Metric

from segkit.data.augment import Augmentation
from segkit.data.cache import Entry, PictureCache, load
from segkit.data.checks import (
    NO_IMAGES,
    SPLIT,
    VALUES,
    DataSetError,
    Layout,
    PictureError,
    Problem,
    report,
    shortened,
    summary_table,
)
from segkit.data.dataset import EvaluationSet, TrainingSet, collate_evaluation, collate_training
from segkit.data.gpu_loader import ResidentLoader, fits
from segkit.data.images import read_bytes
from segkit.data.input_size import InputSize
from segkit.data.records import IGNORE_INDEX, Record, SegmentationClass
from segkit.data.sampler import EpochSampler
from segkit.data.workers import start_worker, worker_count
from segkit.data.writer import Writer
from segkit.distributed.cores import cores
from segkit.distributed.forkserver import server_context

PARTS = ("train", "val", "test")


class SegmentationDataModule(LightningDataModule, ABC):
    """Batches as uint8: see ``collate_training`` and ``collate_evaluation`` for their shapes.

    Args:
        root: folder of the data set.
        image_shape: height and width in pixels of the pictures that the network is trained on.
        batch_size: pictures per step and process.
        augment: list of albumentations transforms for training, ``[{"name": "HorizontalFlip", "p": 0.5}, …]``.
        workers: loader processes per training process; ``None`` = one per core, at most 8, none on 2 cores or fewer.
        cache_dir: folder for decoded and resized pictures; may be shared between data sets and runs.
        seed: of the sample order and the augmentation.
        resize: what pictures are resized to first: ``image_shape``, another shape, a factor of their own size, or None,
            their own size; see :class:`segkit.data.input_size.InputSize`, also for ``window`` and ``overlap``.

    The last training batch of an epoch may be a single picture, since none is left out: a network with batch
    normalisation has to bear it.
    """

    def __init__(
        self,
        root: str | Path,
        image_shape: Annotated[Sequence[Annotated[int, Gt(0)]], Len(2, 2)],
        batch_size: Annotated[int, Gt(0)],
        augment: Sequence[Mapping[str, Any]] = (),
        workers: Annotated[int, Ge(0)] | None = None,
        cache_dir: str | Path = ".cache",
        seed: Annotated[int, Ge(0)] = 0,
        resize: Annotated[Sequence[Annotated[int, Gt(0)]], Len(2, 2)]
        | Annotated[float, Gt(0), Le(1)]
        | Literal["image_shape"]
        | None = "image_shape",
        window: Literal["sliding", "whole"] = "sliding",
        overlap: Annotated[float, Ge(0), Le(0.9)] = 0.5,
    ) -> None:
        super().__init__()
        self.root = Path(root).expanduser()
        self.input_size = InputSize.of(image_shape, resize, window, overlap)
        self.batch_size, self.seed = batch_size, seed
        self.augment = [dict(transform) for transform in augment]
        self.workers, self.cache_dir = workers, Path(cache_dir).expanduser()
        self._entries: dict[str, list[Entry]] = {}
        self._augmentation: Augmentation | None = None

    @property
    @abstractmethod
    def class_list(self) -> tuple[SegmentationClass, ...]:
        """The classes; a class's position is its value in labels."""

    @property
    def label_settings(self) -> str:
        """Names everything but the files' content and ``decode_label`` that labels depend on."""
        return ""

    @abstractmethod
    def scan(self) -> Layout:
        """Look at names and folders only.

        Raises:
            UserError: ``root`` is not this data set's.
        """

    @abstractmethod
    def decode_label(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        """Class ids uint8 (H0, W0) with 255 for unscored, from a label file's content.

        Raises:
            PictureError: the file cannot be decoded or has values that a label cannot have.
        """

    def check(self, record: Record) -> list[Problem]:
        """What is wrong with the record's files besides picture and label."""
        return []

    def metrics(self) -> list[Metric]:
        """New metrics of the data set's own, which validation logs beside the class scores."""
        return []

    def context(self, record: Record) -> dict[str, Any]:
        """Keyword arguments that ``metrics()`` are updated with for this record; None: what it has not got."""
        return {}

    def evaluation(self, view: str) -> Any:
        """The benchmark's own score for ``segkit evaluate``, a :class:`segkit.evaluation.benchmark.Benchmark`.

        None where class scores are all there is. ``view`` is the command's.
        """
        return None

    def writers(self) -> list[Writer]:
        """What shows pictures after training in the data set's own way, beside or instead of the general writers."""
        return []

    def lacking(self, records: Sequence[Record]) -> dict[str, int]:
        """How many of ``records`` have not got what ``context`` could hold, by what it is."""
        contexts = [self.context(record) for record in records]
        return dict(Counter(key for context in contexts for key, value in context.items() if value is None))

    @cached_property
    def layout(self) -> Layout:
        """What ``scan`` found, problems included."""
        return self.scan()

    @property
    def num_classes(self) -> int:
        return len(self.class_list)

    def read_label(self, path: Path) -> NDArray[np.uint8]:
        """A label file at its own size; as ``decode_label``, its class numbers checked."""
        return self._checked_label(read_bytes(path), path)

    def records(self, part: str) -> list[Record]:
        """The records of ``train``, ``val`` or ``test`` in name order.

        Raises:
            DataSetError: ``root`` is wrong, or pictures and labels do not go together.
        """
        self._refuse(self.layout.problems)
        return list(self.layout.parts[part])

    def labelled(self) -> list[Record]:
        """All records with a label, whatever the split, and even where it would leave nothing.

        Raises:
            DataSetError: as ``records``.
        """
        self._refuse([problem for problem in self.layout.problems if problem.kind != SPLIT])
        parts = [*self.layout.parts["train"], *self.layout.parts["val"]]
        return sorted((record for record in parts if record.label), key=lambda record: (record.group, record.name))

    def _refuse(self, problems: Sequence[Problem]) -> None:
        if problems:
            raise DataSetError(report(self.root, self.layout.found, problems))

    def summary(self) -> dict[str, dict[str, int]]:
        """Records by part, then by group."""
        return {part: dict(Counter(record.group for record in self.layout.parts[part])) for part in PARTS}

    def describe(self) -> str:
        """``summary`` as a table."""
        return summary_table(self.summary())

    def prepare(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Check every file and fill the cache; ``on_progress(done, total)`` is called after each picture.

        Raises:
            DataSetError: with all problems in one report.
            UserError: the augmentation or the cache folder is of no use.
        """
        self._augmentation = Augmentation(self.augment, self.input_size.image_shape, self.input_size.crops)
        problems = list(self.layout.problems)
        cache = self._cache()
        cache.open()
        if not self.layout.parts["train"] and not problems:
            problems.append(Problem(NO_IMAGES, "there is no training picture"))
        jobs = [(part, record) for part in PARTS for record in self.layout.parts[part]]
        problems += [problem for _, record in jobs for problem in self.check(record)]
        entries: dict[tuple[str, Record], Entry] = {}
        # OpenCV, hashing and file access release the interpreter's lock. OpenCV's own threads would want these cores.
        pool, own_threads = ThreadPoolExecutor(max_workers=min(16, cores())), cv2.getNumThreads()
        cv2.setNumThreads(0)
        try:
            running = {pool.submit(cache.fill, record, part != "train"): (part, record) for part, record in jobs}
            for done, future in enumerate(as_completed(running), start=1):
                try:
                    entries[running[future]] = future.result()
                except PictureError as error:
                    problems.append(Problem(error.kind, f"{shortened(error.path, self.root)} {error.detail}"))
                if on_progress:
                    on_progress(done, len(jobs))
        finally:
            pool.shutdown(cancel_futures=True)
            cv2.setNumThreads(own_threads)
        if problems:
            raise DataSetError(report(self.root, self.layout.found, sorted(problems, key=_order)))
        self._entries = {part: [entries[part, record] for record in self.layout.parts[part]] for part in PARTS}

    def pixel_counts(self) -> torch.Tensor:
        """Scored pixels of the training part by class, at the size at which pictures are cached: int64 (C,).

        They are counted once and kept in the cache.
        """
        self._prepare_once()
        files = [entry.pixels for entry in self._entries["train"]]
        content = blake2b(" ".join(file.name for file in files).encode(), digest_size=16)

        def count() -> NDArray[np.int64]:
            with ThreadPoolExecutor(max_workers=min(16, cores())) as pool:
                counts = pool.map(lambda file: np.bincount(load(file)[..., 3].ravel(), minlength=256), files)
                return sum(counts, np.zeros(256, np.int64))

        counts = self._cache().kept(f"{content.hexdigest()}_counts", count)
        return torch.from_numpy(counts[: self.num_classes])

    def _cache(self) -> PictureCache:
        return PictureCache(self.cache_dir, self.input_size.resize, self._label_key(), self._checked_label)

    def _label_key(self) -> str:
        """What labels depend on besides their files, the code that reads them included."""
        source = inspect.getsource(type(self).decode_label)
        return f"{type(self).__qualname__} {self.label_settings} {blake2b(source.encode(), digest_size=8).hexdigest()}"

    def _checked_label(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        label = self.decode_label(data, path)
        values = np.flatnonzero(cv2.calcHist([label], [0], None, [256], [0, 256]))
        wrong = [int(value) for value in values if value >= self.num_classes and value != IGNORE_INDEX]
        if wrong:
            raise PictureError(VALUES, path, f"gives the class number {wrong[0]}; there are {self.num_classes} classes")
        return label

    def prepare_data(self) -> None:
        """Lightning's hook, called on one process of each machine: the others then find the cache filled."""
        self._prepare_once()

    def setup(self, stage: str | None = None) -> None:
        """Lightning's hook, called on every process."""
        self._prepare_once()

    def train_dataloader(self) -> DataLoader | ResidentLoader:
        assert self._augmentation is not None
        entries, augmentation = self._entries["train"], self._augmentation
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        loader: DataLoader | ResidentLoader
        resident = device.type == "cuda" and augmentation.mirrors_only and not augmentation.crops
        if resident and fits(entries, augmentation.image_shape, device):
            sampler = self._sampler(len(entries), True)
            loader = ResidentLoader(entries, augmentation, self.seed, self.batch_size, sampler, device)
        else:
            loader = self._loader(TrainingSet(entries, augmentation, self.seed), True)
        # Lightning starts the first iterator of a resumed run before it tells the sampler the epoch.
        if self.trainer is not None:
            loader.sampler.set_epoch(self.trainer.current_epoch)  # type: ignore[union-attr]
        return loader

    def val_dataloader(self) -> DataLoader:
        return self._loader(self._evaluation_set("val"), False)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self._evaluation_set("test"), False)

    def _evaluation_set(self, part: str) -> EvaluationSet:
        entries = self._entries[part]
        return EvaluationSet(entries, [self.context(entry.record) for entry in entries])

    def _prepare_once(self) -> None:
        if not self._entries:
            self.prepare()

    def _loader(self, dataset: Dataset, training: bool) -> DataLoader:
        world_size = self.trainer.world_size if self.trainer is not None else 1
        workers = worker_count(world_size) if self.workers is None else self.workers
        assert self._augmentation is not None
        imports = ["segkit.data.dataset", *([] if self._augmentation.mirrors_only else ["albumentations"])]
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=self._sampler(len(dataset), training),  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=collate_training if training else collate_evaluation,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=start_worker,
            persistent_workers=workers > 0,
            multiprocessing_context=server_context(imports) if workers else None,
        )

    def _sampler(self, length: int, training: bool) -> EpochSampler:
        rank = self.trainer.global_rank if self.trainer is not None else 0
        world_size = self.trainer.world_size if self.trainer is not None else 1
        return EpochSampler(length, self.seed, rank, world_size, training)


def _order(problem: Problem) -> tuple[str, str]:
    return problem.kind, problem.text
