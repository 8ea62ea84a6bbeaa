"""Which pool runs the jobs of a sweep: the choice of ``hydra/launcher``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segkit.errors import UserError
from segkit.sweeps.job import Pool
from segkit.sweeps.local import LocalPool
from segkit.sweeps.ray_pool import RayPool
from segkit.sweeps.sagemaker import SageMakerPool
from segkit.sweeps.slurm import SlurmPool


def make_pool(
    launcher: Mapping[str, Any],
    sweep_settings: Mapping[str, Any],
    trainer_settings: Mapping[str, Any],
    sweep_folder: Path,
) -> Pool:
    """The pool that the settings ask for.

    Args:
        launcher: ``hydra.launcher``.
        sweep_settings, trainer_settings: the groups ``sweep`` and ``trainer`` of the config, checked.
        sweep_folder: where the jobs' folders lie.

    Raises:
        UserError: an unknown launcher, one that is not installed, or more than there is.
    """
    kind = launcher.get("kind")
    gpus, cpus = _gpus_per_job(sweep_settings, trainer_settings), sweep_settings["cpus_per_job"]
    if kind is None and str(launcher.get("_target_", "BasicLauncher")).endswith("BasicLauncher"):
        return LocalPool()
    if kind == "gpus":
        return RayPool(gpus, cpus, sweep_settings["address"])
    if kind == "slurm":
        if gpus is not None and gpus % 1:
            raise UserError(f"sweep.gpus_per_job={gpus:g}: SLURM gives whole GPUs; give a whole number")
        return SlurmPool(sweep_folder / "slurm", launcher, 1 if gpus is None else int(gpus), cpus)
    if kind == "sagemaker":
        return SageMakerPool(launcher, sweep_folder)
    raise UserError("hydra/launcher: should be basic, gpus, slurm or sagemaker")


def _gpus_per_job(sweep: Mapping[str, Any], trainer: Mapping[str, Any]) -> float | None:
    """GPUs of each job; None = one where there are any."""
    gpus = trainer["gpus"]
    if sweep["gpus_per_job"] is not None:
        if gpus == "auto" and sweep["gpus_per_job"] > 1:
            count = f"{sweep['gpus_per_job']:g}"
            raise UserError(f"sweep.gpus_per_job={count}: trainer.gpus=auto uses one; give trainer.gpus={count} too")
        return float(sweep["gpus_per_job"])
    if gpus == "auto":
        return None
    return float(len(gpus) if isinstance(gpus, list) else gpus)
