"""The base of every data module: check, cache, batches. What is particular to a data set is left to its subclass."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le, Len, Lt
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from segkit.data.ahead import ahead, in_background
from segkit.data.augment import Augmentation, SampleAugmentation
from segkit.data.augment.base import BatchAugmentation, class_path
from segkit.data.cache import Entry, PictureCache
from segkit.data.checks import NO_IMAGES, DataSetError, Layout, Problem, report
from segkit.data.dataset import EvaluationSet, TrainingSet, collate_evaluation, collate_training
from segkit.data.description import PARTS, DataSet
from segkit.data.filling import count_pixels, fill_cache
from segkit.data.gpu_loader import ResidentLoader, fits
from segkit.data.images import MAX_MEGAPIXELS
from segkit.data.picture_input import Overlap, PictureInput, Resized, Shape
from segkit.data.sampler import EpochSampler
from segkit.data.workers import start_worker, worker_count
from segkit.distributed.forkserver import server_context
from segkit.errors import UserError


class EvaluationLoader(DataLoader[Any]):
    """Batches of what lies in the cache as it is wanted, read by threads, a few ahead.

    Processes would take longer to start, as a training whose set lies on the GPU needs none, than most sets take to be
    read. It is a ``DataLoader`` because Lightning asks one of validation for more than its batches.
    """

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        samples = (sample for _, sample in ahead(self.dataset.__getitem__, self.sampler))
        return in_background(map(self.collate_fn, iter(lambda: list(islice(samples, self.batch_size)), [])))


class SegmentationDataModule(DataSet, LightningDataModule):
    """Batches as uint8: see ``collate_training`` and ``collate_evaluation`` for their shapes.

    Args:
        root: folder of the data set.
        image_shape: height and width in pixels of the pictures that the network is trained on.
        batch_size: pictures per step and process.
        augment: what training pictures go through; None = nothing, where pictures are larger but a crop.
        workers: processes that load training pictures, for each training process; ``None`` = one per core, at most 8,
            none on 2 cores or fewer. A set that lies on the GPU needs none.
        cache_dir: folder for decoded and resized pictures; may be shared between data sets and runs.
        seed: of the sample order and the augmentation.
        train_on: the labelled parts that are trained on; with ``val`` among them there is no validation.
        resize: what pictures are resized to first: ``image_shape``, another shape, their longer side in pixels, a
            factor of their own size, or None, their own size; see :class:`segkit.data.picture_input.PictureInput`,
            also for ``window`` and ``overlap``.
        max_megapixels: pictures and labels that are larger, by their headers, are not decoded; Pillow refuses to open
            more than 178.

    The last training batch of an epoch may be a single picture, since none is left out: a network with batch
    normalisation has to bear it.
    """

    def __init__(
        self,
        root: str | Path,
        image_shape: Shape,
        batch_size: Annotated[int, Gt(0), Le(65536)],
        augment: SampleAugmentation | None = None,
        workers: Annotated[int, Ge(0), Le(256)] | None = None,
        cache_dir: Annotated[str, Len(1)] | Path = ".cache",
        seed: Annotated[int, Ge(0), Lt(4294967296)] = 0,
        resize: Resized = "image_shape",
        window: Literal["sliding", "whole"] = "sliding",
        overlap: Overlap = 0.5,
        train_on: Annotated[Sequence[Literal["train", "val"]], Len(1)] = ("train",),
        max_megapixels: Annotated[float, Gt(0), Le(170)] = MAX_MEGAPIXELS,
    ) -> None:
        super().__init__()
        self.root = Path(root).expanduser()
        self.picture_input = PictureInput.of(image_shape, resize, window, overlap)
        self.batch_size, self.seed, self.train_on = batch_size, seed, tuple(train_on)
        self.max_megapixels = max_megapixels
        if not isinstance(augment, SampleAugmentation | None):
            remedy = "give it a _target_, as conf/augment/ does"
            if not isinstance(augment, str | dict | list | bool | int | float):
                augment, remedy = class_path(augment), "let its class inherit segkit.data.augment.SampleAugmentation"
            raise UserError(f"data.augment={augment}: is no augmentation; {remedy}")
        self.augment = augment or Augmentation()
        self.workers, self.cache_dir = workers, Path(cache_dir).expanduser()
        self._entries: dict[str, list[Entry]] = {}

    @cached_property
    def layout(self) -> Layout:
        """What ``scan`` found, problems included, with the parts of ``train_on`` as the training part."""
        found = self.scan()
        if self.train_on == ("train",):
            return found
        records = {record.name: record for part in self.train_on for record in found.parts[part]}
        parts = {**found.parts, "train": [records[name] for name in sorted(records)]}
        return replace(found, parts=parts | ({"val": []} if "val" in self.train_on else {}))

    def prepare(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Check every file and fill the cache; ``on_progress(done, total)`` is called after each picture.

        Raises:
            DataSetError: with all problems in one report.
            UserError: the augmentation or the cache folder is of no use.
        """
        self.augment.prepare(self.picture_input, self.class_list, len(self.layout.parts["train"]))
        problems = list(self.layout.problems)
        cache = self._cache()
        cache.open()
        if not self.layout.parts["train"] and not problems:
            problems.append(Problem(NO_IMAGES, "there is no training picture"))
        jobs = [(part, record) for part in PARTS for record in self.layout.parts[part]]
        cache.check_room(len(jobs))
        problems += [problem for _, record in jobs for problem in self.check(record)]
        entries, unusable = fill_cache(
            cache, [(record, part != "train") for part, record in jobs], self.root, on_progress
        )
        problems += unusable
        if problems:
            raise DataSetError(report(self.root, self.layout.found, sorted(problems, key=_order)))
        self._entries = {part: [] for part in PARTS}
        for (part, _), entry in zip(jobs, entries, strict=True):
            self._entries[part].append(entry)

    def keep_only(self, count: int) -> None:
        """Train and validate on the first ``count`` training pictures alone: can a network learn them by heart?"""
        few = self.records("train")[:count]
        self.layout = replace(self.layout, parts={"train": few, "val": few, "test": []})

    def pixel_counts(self) -> torch.Tensor:
        """Scored pixels of the training part by class, at the size at which pictures are cached: int64 (C,).

        They are counted once and kept in the cache.
        """
        self._prepare_once()
        entries = self._entries["train"]
        content = blake2b(" ".join(entry.pixels.name for entry in entries).encode(), digest_size=16)
        counts = self._cache().kept(f"{content.hexdigest()}_counts", lambda: count_pixels(entries), (256,))
        return torch.from_numpy(counts[: self.num_classes])

    def _cache(self) -> PictureCache:
        return PictureCache(
            self.cache_dir, self.picture_input.resize, self.label_key(), self.checked_label, self.max_megapixels
        )

    def prepare_data(self) -> None:
        """Lightning's hook, called on one process of each machine: the others then find the cache filled."""
        self._prepare_once()

    def setup(self, stage: str | None = None) -> None:
        """Lightning's hook, called on every process."""
        self._prepare_once()

    def training_set(self) -> TrainingSet:
        """The samples that the network is trained on, by ``SampleKey``; after ``prepare``."""
        return TrainingSet(self._entries["train"], self.augment, self.seed, self.picture_input.image_shape)

    def train_dataloader(self) -> DataLoader | ResidentLoader:
        entries, augment = self._entries["train"], self.augment
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        loader: DataLoader | ResidentLoader
        if device.type == "cuda" and isinstance(augment, BatchAugmentation) and fits(entries, device):
            sampler = self._sampler(len(entries), True)
            shape = self.picture_input.image_shape
            loader = ResidentLoader(entries, augment, self.seed, shape, self.batch_size, sampler, device)
        else:
            loader = self._training_loader()
        # Lightning starts the first iterator of a resumed run before it tells the sampler the epoch.
        if self.trainer is not None:
            loader.sampler.set_epoch(self.trainer.current_epoch)  # type: ignore[union-attr]
        return loader

    def transfer_batch_to_device(self, batch: dict[str, Any], device: torch.device, dataloader_idx: int) -> Any:
        image = batch["image"]
        if isinstance(image, torch.Tensor) and image.device == device:  # Lightning would look at all of it
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def val_dataloader(self) -> EvaluationLoader:
        return self._evaluation_loader("val")

    def test_dataloader(self) -> EvaluationLoader:
        return self._evaluation_loader("test")

    def _evaluation_loader(self, part: str) -> EvaluationLoader:
        entries = self._entries[part]
        pictures = EvaluationSet(entries, [self.context(entry.record) for entry in entries])
        sampler = self._sampler(len(pictures), False)
        return EvaluationLoader(pictures, self.batch_size, sampler=sampler, collate_fn=collate_evaluation)

    def _prepare_once(self) -> None:
        if not self._entries:
            self.prepare()

    def _training_loader(self) -> DataLoader:
        pictures = self.training_set()
        world_size = self.trainer.world_size if self.trainer is not None else 1
        workers = worker_count(world_size) if self.workers is None else self.workers
        imports = ["segkit.data.dataset", *self.augment.imports]
        return DataLoader(
            pictures,
            batch_size=self.batch_size,
            sampler=self._sampler(len(pictures), True),
            num_workers=workers,
            collate_fn=collate_training,
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
