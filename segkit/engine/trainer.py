"""Building Lightning's trainer for a run folder."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from segkit.engine.checkpoints import AtomicCheckpointIO, checkpoint_callbacks
from segkit.engine.devices import lightning_devices, lightning_precision
from segkit.engine.interruption import Interruption
from segkit.engine.pictures import ValidationPictures
from segkit.engine.progress import EpochReport, ProgressBar
from segkit.engine.seeding import EpochSeed
from segkit.engine.step_losses import StepLosses


class RunLogger(TensorBoardLogger):
    """TensorBoard events in the run folder, without the epoch number that Lightning adds to every entry."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name="tensorboard", version="", default_hp_metric=False)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        shown = {name: value for name, value in metrics.items() if name != "epoch"}
        if shown:
            super().log_metrics(shown, step)


def build_trainer(settings: dict[str, Any], folder: Path, seed: int, validated: bool) -> tuple[Trainer, EpochReport]:
    """A trainer that leaves checkpoints, TensorBoard events and epoch lines in ``folder``.

    Args:
        settings: the ``trainer`` group of the config.
        folder: the run folder.
        seed: the run's seed, for the random numbers of each epoch.
        validated: whether the data has a validation part.
    """
    devices = lightning_devices(settings["gpus"])
    torch.set_float32_matmul_precision("high")  # TF32 where the GPU has it, as convolutions use by default
    losses = StepLosses()
    report = EpochReport(losses)
    # Fetching the losses comes first: the others read what it fetched.
    callbacks = [
        losses,
        report,
        ProgressBar(losses, report),
        EpochSeed(seed),
        ValidationPictures(every=max(1, settings["max_epochs"] // 20)),
        Interruption(str(folder / "checkpoints" / "interrupted.ckpt")),
        *checkpoint_callbacks(
            folder / "checkpoints", settings["monitor"] if validated else None, settings["max_epochs"]
        ),
    ]
    # What Lightning says of itself is not what a user asked to know.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # The loader's seeded sampler and the epoch lines are ours; on few cores the advice on workers is wrong.
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*number of training batches.*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    trainer = Trainer(
        **devices,
        precision=lightning_precision(settings["precision"], devices["accelerator"] == "gpu"),
        max_epochs=settings["max_epochs"],
        accumulate_grad_batches=settings["accumulate"],
        gradient_clip_val=settings["clip"],
        deterministic=settings["deterministic"],
        # Algorithms are chosen by timing them, which is not the same choice every time.
        benchmark=not settings["deterministic"],
        logger=RunLogger(folder),
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if validated else 0,
        log_every_n_steps=50,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    return trainer, report


def log_config(trainer: Trainer, settings: dict[str, Any]) -> None:
    """Put the whole config into TensorBoard's TEXT tab."""
    assert isinstance(trainer.logger, TensorBoardLogger)
    trainer.logger.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(OmegaConf.create(settings))}```")


# Settings that say where or how fast, not what: they would hide the others in the HPARAMS tab.
NOT_COMPARED = {"_target_", "url", "augment", "cache_dir", "workers", "seed", "gpus", "compile"}


def log_scores(trainer: Trainer, settings: dict[str, Any], scores: dict[str, float]) -> None:
    """Put the run into TensorBoard's HPARAMS tab: its settings and the scores of its best checkpoint."""
    assert isinstance(trainer.logger, TensorBoardLogger)
    flat = {
        f"{group}.{key}": str(value) if isinstance(value, list) else value
        for group in ("data", "model", "trainer")
        for key, value in settings[group].items()
        if key not in NOT_COMPARED
    }
    names = [str(transform.get("name")) for transform in settings["augment"]["transforms"]]
    flat |= {"seed": settings["seed"], "augment": ", ".join(names) or "none"}
    trainer.logger.log_hyperparams(flat, {f"val_best/{name}": value for name, value in scores.items()})
    trainer.logger.save()
