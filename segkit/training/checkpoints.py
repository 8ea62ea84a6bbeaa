"""Checkpoints: what they hold, how they are written so that a full disk loses nothing."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from segkit.distributed.memory import free_memory
from segkit.errors import UserError
from segkit.runs.files import replacing
from segkit.runs.monitor import mode


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the old checkpoint and renames: until the new one is whole, the old one is there.

    That holds however the process ends. It is not flushed through to the device at every epoch, which would take longer
    than many epochs do.

    Args:
        beside: write in a thread while training goes on, one checkpoint at a time, from a copy in the host's memory
            where there is room for one. For a network on a GPU, of which there has to be a copy anyway.
    """

    def __init__(self, beside: bool = False) -> None:
        super().__init__()
        self._beside = beside
        self._thread = ThreadPoolExecutor(1)
        self._running: Future[None] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Raises UserError when the disk is full or the folder cannot be written, by this checkpoint or, where it is
        written beside training, by the one before."""
        self._finish()
        free = free_memory()
        if self._beside and (free is None or _size(checkpoint) < free / 2):
            copy = apply_to_collection(checkpoint, Tensor, lambda tensor: tensor.detach().to("cpu", copy=True))
            self._running = self._thread.submit(_write, copy, Path(path))
        else:
            _write(checkpoint, Path(path))

    def _finish(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def teardown(self) -> None:
        """Lightning's hook, also after an error. Raises UserError as ``save_checkpoint`` does."""
        self._finish()


def _size(checkpoint: dict[str, Any]) -> int:
    """Bytes of a checkpoint's tensors."""
    sizes: list[int] = []
    apply_to_collection(checkpoint, Tensor, lambda tensor: sizes.append(tensor.nbytes))
    return sum(sizes)


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Checksums take three quarters of the time, and the file is whole or not there at all.
    torch.serialization.set_crc32_options(False)
    try:
        with replacing(path) as temporary:
            torch.save(checkpoint, temporary)
    # torch's zip writer turns a failed write into a RuntimeError of its own.
    except (OSError, RuntimeError) as error:
        kept = "; the checkpoint before it is kept" if path.exists() else ""
        raise UserError(f"{path}: could not be saved ({error}){kept}. Make room, then resume=<run folder>") from error


class FolderCheckpoint(ModelCheckpoint):
    """One checkpoint file of a run folder. A resumed run knows it again wherever the folder has been moved to."""

    def __init__(self, folder: Path, name: str, **choice: Any) -> None:
        super().__init__(folder, name, enable_version_counter=False, **choice)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = str(Path(str(self.dirpath), f"{self.filename}{self.FILE_EXTENSION}"))
        # A mirror of a run that was killed may have last.ckpt and no best.ckpt: then the epochs to come have one.
        scores = list(state_dict["best_k_models"].values()) if Path(here).is_file() else []
        moved = {
            "dirpath": self.dirpath,
            "best_model_path": here if scores else "",
            "best_model_score": state_dict["best_model_score"] if scores else None,
            "last_model_path": "",
            "kth_best_model_path": here if scores else "",
            "best_k_models": dict.fromkeys([here], scores[0]) if scores else {},
        }
        super().load_state_dict(state_dict | moved)


class LastCheckpoint(FolderCheckpoint):
    """``last.ckpt`` at the end of an epoch: everything that a resumed run needs.

    With Adam that is three times the weights (1.6 GB for FCN-8s), so epochs of a few seconds would be spent on writing
    it. It is written when the last one is ``EVERY_SECONDS`` old, after the final epoch, and where the run is to stop.

    Attributes:
        behind: whole epochs since it was written; they took less than ``EVERY_SECONDS`` together.
        wanted: the run is to stop, and the end of the epoch at hand is to be kept; the same in all processes.
    """

    EVERY_SECONDS = 20.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "last", save_on_train_epoch_end=True, every_n_epochs=1)
        self.written = time.monotonic()
        self.behind, self.wanted = 0, False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        final = trainer.max_epochs is not None and trainer.current_epoch + 1 >= trainer.max_epochs
        due = final or self.wanted or time.monotonic() - self.written >= self.EVERY_SECONDS
        self.behind += 1
        # All processes take part in saving; their clocks may differ.
        if trainer.strategy.broadcast(due):
            super().on_train_epoch_end(trainer, pl_module)
            self.written, self.behind = time.monotonic(), 0


def checkpoint_callbacks(folder: Path, monitor: str | None, max_epochs: int) -> list[ModelCheckpoint]:
    """What writes ``best.ckpt`` and ``last.ckpt`` into ``folder``.

    ``best.ckpt`` holds the weights of the epoch with the best ``monitor``: the lowest of a loss, the highest of any
    other score. Without a validation part (``monitor`` None) those of the final epoch.
    """
    choice: dict[str, Any] = {"every_n_epochs": max_epochs}
    if monitor is not None:
        choice = {"monitor": monitor, "mode": mode(monitor)}
    return [FolderCheckpoint(folder, "best", save_weights_only=True, **choice), LastCheckpoint(folder)]


def epochs_done(last: Path) -> int:
    """Whole epochs behind a ``last.ckpt``; 0 where there is none."""
    return torch.load(last, weights_only=True, mmap=True)["segkit"]["epoch"] if last.exists() else 0
