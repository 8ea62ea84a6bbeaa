"""Checkpoints: what they hold, how they are written so that a full disk loses nothing."""

import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from segkit.errors import UserError
from segkit.runs.files import replacing
from segkit.runs.monitor import mode


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the old checkpoint and renames: until the new one is whole, the old one is there.

    That holds however the process ends. It is not flushed through to the device at every epoch, which would take longer
    than many epochs do.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Raises UserError when the disk is full or the folder cannot be written."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Checksums take three quarters of the time, and the file is whole or not there at all.
        torch.serialization.set_crc32_options(False)
        try:
            with replacing(path) as temporary:
                torch.save(checkpoint, temporary)
        # torch's zip writer turns a failed write into a RuntimeError of its own.
        except (OSError, RuntimeError) as error:
            kept = "; the checkpoint before it is kept" if path.exists() else ""
            raise UserError(
                f"{path}: could not be saved ({error}){kept}. Make room, then resume=<run folder>"
            ) from error


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
    it. It is written when the last one is ``EVERY_SECONDS`` old, less often where writing takes longer than
    ``WRITING_SECONDS``, so that it takes no larger share of all time; after the final epoch; and where the run is to
    stop.

    Attributes:
        behind: whole epochs since it was written; they took less than that time together.
        wanted: the run is to stop, and the end of the epoch at hand is to be kept; the same in all processes.
    """

    EVERY_SECONDS = 20.0
    WRITING_SECONDS = 0.8

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "last", save_on_train_epoch_end=True, every_n_epochs=1)
        self.written, self.took = time.monotonic(), 0.0
        self.behind, self.wanted = 0, False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        final = trainer.max_epochs is not None and trainer.current_epoch + 1 >= trainer.max_epochs
        begun = time.monotonic()
        pause = self.EVERY_SECONDS * max(1.0, self.took / self.WRITING_SECONDS)
        due = final or self.wanted or begun - self.written >= pause
        self.behind += 1
        # All processes take part in saving; their clocks may differ.
        if trainer.strategy.broadcast(due):
            super().on_train_epoch_end(trainer, pl_module)
            self.written, self.behind = time.monotonic(), 0
            self.took = self.written - begun


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
