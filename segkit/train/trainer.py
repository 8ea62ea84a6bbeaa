"""Building Lightning's trainer for a run folder."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins.environments import LightningEnvironment, TorchElasticEnvironment

from segkit.distributed.devices import Processes, lightning_precision
from segkit.distributed.ranks import Ranks
from segkit.runs.folder import place
from segkit.runs.identity import NOT_COUNTED
from segkit.runs.study import Trial
from segkit.train.callbacks.interruption import Interruption
from segkit.train.callbacks.progress import EpochReport, ProgressBar
from segkit.train.callbacks.pruning import Pruning
from segkit.train.callbacks.seeding import EpochSeed
from segkit.train.callbacks.step_losses import StepLosses
from segkit.train.callbacks.sync_batchnorm_stats import SharedStatistics
from segkit.train.callbacks.validation_images import ValidationPictures
from segkit.train.checkpoints import AtomicCheckpointIO, checkpoint_callbacks
from segkit.train.ddp import DataParallel


class RunLogger(TensorBoardLogger):
    """TensorBoard events in the run folder, without the epoch number that Lightning adds to every entry."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name="tensorboard", version="", default_hp_metric=False)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        shown = {name: value for name, value in metrics.items() if name != "epoch"}
        if shown:
            super().log_metrics(shown, step)


def build_trainer(
    settings: dict[str, Any],
    folder: Path,
    seed: int,
    validated: bool,
    processes: Processes,
    ranks: Ranks | None = None,
    trial: Trial | None = None,
) -> tuple[Trainer, EpochReport]:
    """A trainer that leaves checkpoints, TensorBoard events and epoch lines in ``folder``.

    Args:
        settings: the ``trainer`` group of the config.
        folder: the run folder.
        seed: the run's seed, for the random numbers of each epoch.
        validated: whether the data has a validation part.
        processes: the devices to train on.
        ranks: this process among those that train together; None = it trains alone.
        trial: the trial of a study that the run is, which may end it early.
    """
    torch.set_float32_matmul_precision("high")  # TF32 where the GPU has it, as convolutions use by default
    losses = StepLosses()
    report = EpochReport(losses, folder, settings, place(processes.indices, settings["num_nodes"]))
    # Fetching the losses comes first: the others read what it fetched.
    callbacks = [
        losses,
        report,
        ProgressBar(losses, report),
        EpochSeed(seed),
        SharedStatistics(),
        ValidationPictures(every=max(1, settings["max_epochs"] // 20)),
        Interruption(str(folder / "checkpoints" / "interrupted.ckpt")),
        *checkpoint_callbacks(
            folder / "checkpoints", settings["monitor"] if validated else None, settings["max_epochs"]
        ),
    ]
    if trial is not None and validated:
        callbacks.append(Pruning(trial, settings["monitor"]))
    # What Lightning says of itself is not what a user asked to know.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # The loader's seeded sampler and the epoch lines are ours; on few cores the advice on workers is wrong.
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*number of training batches.*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    # All processes have the same scores to log: the metrics have summed their counts.
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
    on_gpu = bool(processes.indices)
    trainer = Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=processes.indices if on_gpu else processes.count if ranks else 1,
        num_nodes=ranks.nodes if ranks else 1,
        strategy=DataParallel() if ranks else "auto",
        precision=lightning_precision(settings["precision"], on_gpu),
        max_epochs=settings["max_epochs"],
        accumulate_grad_batches=settings["accumulate"],
        gradient_clip_val=settings["clip"],
        deterministic=settings["deterministic"],
        # Algorithms are chosen by timing them, which is not the same choice every time.
        benchmark=not settings["deterministic"],
        logger=RunLogger(folder),
        callbacks=callbacks,
        # Named, or Lightning looks for a cluster by itself and takes a job script of SLURM's for one.
        plugins=[AtomicCheckpointIO(), TorchElasticEnvironment() if ranks else LightningEnvironment()],
        default_root_dir=folder,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if validated else 0,
        log_every_n_steps=50,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    return trainer, report


def log_config(logger: RunLogger, settings: dict[str, Any]) -> None:
    """Put the whole config into TensorBoard's TEXT tab."""
    logger.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(OmegaConf.create(settings))}```")


# What says where or how fast would hide the rest in the HPARAMS tab, as would what stands there in another form.
NOT_COMPARED = NOT_COUNTED | {"data._target_", "data.augment", "data.seed", "model._target_", "augment.transforms"}


def log_scores(
    logger: RunLogger, settings: dict[str, Any], scores: dict[str, float], swept: Sequence[str] = ()
) -> None:
    """Put the run into TensorBoard's HPARAMS tab: its settings and the scores of its best checkpoint.

    Of a sweep's run only the ``swept`` settings (dotted keys, or groups): the tab shows the first few at once.
    """
    flat = {
        f"{group}.{key}": str(value) if isinstance(value, list) else value
        for group in ("data", "model", "trainer", "augment")
        for key, value in settings[group].items()
        if f"{group}.{key}" not in NOT_COMPARED
    }
    names = [str(transform.get("name")) for transform in settings["augment"]["transforms"]]
    flat |= {"seed": settings["seed"], "augment": ", ".join(names) or "none"}
    shown = {key: value for key, value in flat.items() if f"{key}.".startswith(tuple(f"{name}." for name in swept))}
    flat = shown or flat
    logger.log_hyperparams(flat, {f"val_best/{name}": value for name, value in scores.items()})
    logger.save()
