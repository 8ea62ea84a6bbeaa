"""The plain program: a training script in Lightning as most people would write it.

Eager, fp32, channels first; every epoch, the loader's workers decode each PNG with OpenCV, resize it, mirror it at
random and turn it into floats. Nothing in it is slow on purpose: it follows Lightning's and PyTorch's documentation.

:mod:`segkit.benchmarks.programs` starts it, and says what it is given.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from segkit.benchmarks.bare import build_network
from segkit.data.records import IGNORE_INDEX, Record
from segkit.distributed.cores import cores
from segkit.losses.auxiliary import with_auxiliary
from segkit.road.dataset import KittiRoadDataModule


class RoadPictures(Dataset[tuple[Tensor, Tensor]]):
    """Picture float (3, H, W), 0…255, and label int64 (H, W), decoded anew each time."""

    def __init__(self, records: Sequence[Record], height: int, width: int) -> None:
        self.records, self.size = records, (width, height)
        self.augment = A.Compose([A.HorizontalFlip(p=0.5)])

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        record = self.records[index]
        image = cv2.resize(read_rgb(record.image), self.size)
        colours = cv2.resize(read_rgb(record.label), self.size, interpolation=cv2.INTER_NEAREST)
        label = np.where(colours[..., 0] == 0, IGNORE_INDEX, colours[..., 2] // 255)
        augmented = self.augment(image=image, mask=label)
        pixels = augmented["image"].astype(np.float32).transpose(2, 0, 1)
        return torch.from_numpy(pixels.copy()), torch.from_numpy(augmented["mask"].astype(np.int64))


def read_rgb(path: Path | None) -> NDArray:
    """A picture's pixels, uint8 (H, W, 3)."""
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]


class PlainTask(LightningModule):
    def __init__(self, network: nn.Module, optimizer: str) -> None:
        super().__init__()
        self.network = network
        self.optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimizer]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        image, label = batch
        loss = with_auxiliary(nn.CrossEntropyLoss(ignore_index=IGNORE_INDEX), self.network(image), label)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters(), lr=1e-4)


class EpochClock(Callback):
    """Seconds of each epoch, its work on the GPU included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = self._now(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds.append(self._now(pl_module) - self.started)

    @staticmethod
    def _now(module: LightningModule) -> float:
        if module.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def measure(spec: dict[str, Any]) -> dict[str, float | None]:
    """Median ``step_ms`` of all epochs but the first, loader included, and ``peak_memory_gib`` (None on the CPU)."""
    on_gpu = spec["gpu"] is not None
    height, width, batch = spec["case"]
    seed_everything(spec["seed"])
    records = KittiRoadDataModule(spec["root"], [height, width], batch, split="none").records("train")
    loader = DataLoader(
        RoadPictures(records, height, width),
        batch_size=batch,
        shuffle=True,
        num_workers=min(8, cores()),
        pin_memory=on_gpu,
        persistent_workers=True,
    )
    clock = EpochClock()
    trainer = Trainer(
        max_epochs=spec["epochs"],
        accelerator="gpu" if on_gpu else "cpu",
        devices=[spec["gpu"]] if on_gpu else 1,
        default_root_dir=spec["scratch"],
        enable_checkpointing=False,  # the time that it takes lies between the epochs, and is no part of their figures
        callbacks=[clock, *([EMAWeightAveraging(decay=spec["ema"])] if spec["ema"] else [])],
    )
    trainer.fit(PlainTask(build_network(spec["model"]), spec["algorithm"]), loader)
    memory = torch.cuda.max_memory_allocated(spec["gpu"]) / 2**30 if on_gpu else None
    step_ms = 1000 * median(clock.seconds[1:]) / len(loader)
    return {"step_ms": step_ms, "peak_memory_gib": memory}


def main() -> None:
    """Measure what the command line's JSON says, and print the figures as JSON in the last line."""
    print("\n" + json.dumps(measure(json.loads(sys.argv[1]))))
