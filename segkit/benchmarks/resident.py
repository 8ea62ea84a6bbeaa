"""Batches from a set that lies on the device as a whole, by augmentation."""

import logging
from collections.abc import Mapping
from itertools import chain, repeat
from typing import Any

import torch

from segkit.benchmarks.table import Table, file_name, rounded
from segkit.benchmarks.timing import median_step_ms
from segkit.data.augment.base import BatchAugmentation
from segkit.data.gpu_loader import ResidentLoader
from segkit.data.module import SegmentationDataModule
from segkit.data.sampler import EpochSampler
from segkit.runs.folder import gpu_name

STEPS, WARM_UP = 100, 10

log = logging.getLogger(__name__)


def resident_table(modules: Mapping[str, SegmentationDataModule], device: torch.device) -> Table:
    """Time of a batch for each data module that makes batches on the device; they are prepared, and named by their
    augmentation."""
    rows: list[dict[str, Any]] = []
    for name, data in modules.items():
        if not isinstance(data.augment, BatchAugmentation):
            continue
        entries = data.training_set().entries
        sampler = EpochSampler(len(entries), 0, 0, 1, True)
        height, width = data.picture_input.image_shape
        loader = ResidentLoader(entries, data.augment, 0, (height, width), data.batch_size, sampler, device)
        batches = chain.from_iterable(repeat(loader))
        step_ms = median_step_ms(lambda batches=batches: next(batches), device, STEPS, WARM_UP)  # type: ignore[misc]
        rows.append(
            {
                "what": f"augment={name}",
                "height": height,
                "width": width,
                "batch": data.batch_size,
                "batch_ms": step_ms,
                "images_per_second": 1000 * data.batch_size / step_ms,
            }
        )
        log.info("on the device, augment=%s: %s ms a batch", name, rounded(step_ms))
    gpu = gpu_name([device.index or 0]) if device.type == "cuda" else None
    return Table(file_name("resident", "uint8", "nhwc", gpu), "Batches from a set on the device", rows, [])
