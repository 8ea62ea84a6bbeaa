"""Building Lightning's trainer for a run folder."""

import logging
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from pytorch_lightning.profilers import AdvancedProfiler, PassThroughProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from segkit.config.schema import TrainerSettings
from segkit.data.overlay import Painter
from segkit.distributed.devices import Processes, lightning_precision
from segkit.distributed.ranks import Ranks
from segkit.runs.folder import place
from segkit.runs.study import Trial
from segkit.training.callbacks.ema import ExponentialMovingAverage
from segkit.training.callbacks.freezing import Freezing
from segkit.training.callbacks.interruption import Interruption
from segkit.training.callbacks.progress import EpochReport, ProgressBar
from segkit.training.callbacks.pruning import Pruning
from segkit.training.callbacks.seeding import EpochSeed
from segkit.training.callbacks.step_losses import StepLosses
from segkit.training.callbacks.sync_batchnorm_stats import SharedStatistics
from segkit.training.callbacks.time_estimate import TimeEstimate
from segkit.training.callbacks.validation_epochs import ValidationEpochs
from segkit.training.callbacks.validation_images import ValidationPictures
from segkit.training.checkpoints import AtomicCheckpointIO, checkpoint_callbacks
from segkit.training.ddp import DataParallel
from segkit.training.loggers import build_logger

NOTHING = nullcontext()
PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}

# What Lightning says of itself is not what a user asked to know. The loader's seeded sampler and the epoch lines are
# ours; on few cores the advice on workers is wrong; all processes have the same scores, the metrics have summed them.
SILENCED = (
    ".*LeafSpec.* is deprecated.*",
    ".*does not have many workers.*",
    ".*number of training batches.*smaller than the logging interval.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*sync_dist=True.*",
)


def build_trainer(
    options: TrainerSettings,
    folder: Path,
    seed: int,
    validated: bool,
    processes: Processes,
    ranks: Ranks | None = None,
    trial: Trial | None = None,
    own: Sequence[Callback] = (),
    painter: Painter | None = None,
) -> tuple[Trainer, EpochReport]:
    """A trainer that leaves checkpoints, logs and epoch lines in ``folder``.

    Args:
        options: the ``trainer`` group of the config.
        folder: the run folder.
        seed: the run's seed, for the random numbers of each epoch.
        validated: whether the data has a validation part.
        processes: the devices to train on.
        ranks: this process among those that train together; None = it trains alone.
        trial: the trial of a study that the run is, which may end it early.
        own: the user's callbacks, called after segkit's own.
        painter: of validation's pictures.
    """
    torch.set_float32_matmul_precision("high")  # TF32 where the GPU has it, as convolutions use by default
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in SILENCED:
        warnings.filterwarnings("ignore", message=message)
    losses = StepLosses()
    report = EpochReport(
        losses, folder, options.max_epochs, options.monitor, place(processes.indices, options.num_nodes)
    )
    # Fetching the losses comes first: the others read what it fetched. The averaged weights are in place before
    # validation's pictures are painted.
    callbacks: list[Callback] = [
        losses,
        *([ExponentialMovingAverage(options.ema)] if options.ema is not None else []),
        *([Freezing(options.freeze, options.unfreeze_at)] if options.freeze else []),
        report,
        ProgressBar(losses, report),
        TimeEstimate(),
        EpochSeed(seed),
        ValidationEpochs(options.validate_every),
        SharedStatistics(),
        ValidationPictures(every=max(1, options.max_epochs // options.validate_every // 20), painter=painter),
        Interruption(str(folder / "checkpoints" / "interrupted.ckpt")),
        *own,
        *checkpoint_callbacks(folder / "checkpoints", options.monitor if validated else None, options.max_epochs),
    ]
    if trial is not None and validated:
        callbacks.append(Pruning(trial, options.monitor))
    on_gpu = bool(processes.indices)
    trainer = Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=processes.indices if on_gpu else processes.count if ranks else 1,
        num_nodes=ranks.nodes if ranks else 1,
        strategy=DataParallel() if ranks else "auto",
        precision=lightning_precision(options.precision, on_gpu),
        max_epochs=options.max_epochs,
        check_val_every_n_epoch=options.validate_every,
        accumulate_grad_batches=options.accumulate,
        gradient_clip_val=options.clip,
        deterministic=options.deterministic,
        # Algorithms are chosen by timing them, which is not the same choice every time.
        benchmark=not options.deterministic,
        logger=build_logger(options.logger, folder),
        callbacks=callbacks,
        profiler=_profiler(options.profiler, folder),
        # Named, or Lightning looks for a cluster by itself and takes a job script of SLURM's for one.
        plugins=[AtomicCheckpointIO(), TorchElasticEnvironment() if ranks else LightningEnvironment()],
        default_root_dir=folder,
        num_sanity_val_steps=0,
        limit_train_batches=options.limit_batches or 1.0,
        limit_val_batches=(options.limit_batches or 1.0) if validated else 0,
        log_every_n_steps=50,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    return trainer, report


class NoProfiler(PassThroughProfiler):
    """Measures nothing. Lightning's own takes a sixth of the processor's time for a step: it is asked 80 times."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return NOTHING


def _profiler(name: str | None, folder: Path) -> Profiler:
    """Lightning's profiler of this name; what it finds is written below ``folder`` when training ends."""
    return NoProfiler() if name is None else PROFILERS[name](dirpath=folder / "profile", filename=name)
