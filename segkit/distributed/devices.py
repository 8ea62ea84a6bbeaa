"""What a user asks of the hardware, in Lightning's terms."""

from dataclasses import dataclass
from typing import Literal

import torch

from segkit.distributed.ranks import Ranks
from segkit.errors import UserError

Gpus = Literal["auto"] | int | list[int]


def gpu_indices(gpus: Gpus, key: str = "trainer.gpus") -> list[int]:
    """The GPUs meant by ``auto`` (one if there is one), a count, or a list of numbers; empty means the CPU.

    Raises:
        UserError: a GPU that is not there, saying what is there.
    """
    there = torch.cuda.device_count()
    if gpus == "auto":
        return [0] if there else []
    wanted = list(range(gpus)) if isinstance(gpus, int) else list(gpus)
    if any(index >= there for index in wanted):
        names = ", ".join(f"{i}: {torch.cuda.get_device_name(i)}" for i in range(there)) or "no GPU that torch can use"
        shown = str(gpus).replace(" ", "")
        raise UserError(f"{key}={shown}: this machine has {names}; use {key}={'auto' if there else 0}")
    return wanted


def one_gpu(gpus: Gpus, key: str) -> int | None:
    """The one GPU meant by ``gpus``, or None for the CPU.

    Raises:
        UserError: a GPU that is not there, or more than one.
    """
    indices = gpu_indices(gpus, key)
    if len(indices) > 1:
        shown = str(gpus).replace(" ", "")
        raise UserError(f"{key}={shown}: one GPU at a time is what this command can use; give {key}=1 or {key}=[i]")
    return indices[0] if indices else None


@dataclass(frozen=True)
class Processes:
    """What trains a network: ``count`` processes on this machine, on the GPUs ``indices``, or on the CPU if empty."""

    indices: list[int]
    count: int


def training_processes(gpus: Gpus, num_nodes: int, cpu_processes: int, ranks: Ranks | None) -> Processes:
    """The processes that the ``trainer`` settings ask for.

    Args:
        gpus, num_nodes, cpu_processes: ``trainer.gpus``, ``.num_nodes`` and ``.cpu_processes``.
        ranks: those that torchrun or srun have started.

    Raises:
        UserError: GPUs that are not there, or settings that do not go with the processes that are.
    """
    if ranks is None:
        if num_nodes > 1:
            raise UserError(
                f"trainer.num_nodes={num_nodes}: several machines need torchrun or srun to start the processes on each "
                "(docs/gpus.md)"
            )
        indices = gpu_indices(gpus)
        return Processes(indices, len(indices) or cpu_processes)
    if num_nodes != ranks.nodes:
        raise UserError(f"trainer.num_nodes={num_nodes}: processes were started on {ranks.nodes}; say so")
    if gpus == "auto":
        gpus = ranks.local_size if torch.cuda.device_count() else 0
    indices = gpu_indices(gpus)
    if indices and len(indices) != ranks.local_size:
        shown = str(gpus).replace(" ", "")
        raise UserError(
            f"trainer.gpus={shown}: torchrun or srun started {ranks.local_size} processes on this machine, "
            f"one for each GPU; give trainer.gpus={ranks.local_size}"
        )
    return Processes(indices, ranks.local_size)


def lightning_precision(precision: Literal["auto", "fp32", "bf16"], on_gpu: bool) -> Literal["32-true", "bf16-mixed"]:
    """Lightning's ``precision``: ``auto`` is bf16 autocast on GPUs that compute in bf16, fp32 elsewhere."""
    if precision == "auto":
        precision = "bf16" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16-mixed" if precision == "bf16" else "32-true"


def prediction_precision(precision: Literal["auto", "fp32", "bf16"], gpu: int | None) -> Literal["fp32", "bf16"]:
    """``auto`` is bf16 where the device computes in it by itself: most GPUs, and CPUs with AVX-512 BF16 or AMX.

    Args:
        precision: as asked for.
        gpu: device number, or None for the CPU.
    """
    if precision != "auto":
        return precision
    if gpu is None:
        there = torch.cpu.get_capabilities()
        return "bf16" if there.get("avx512_bf16") or there.get("amx_bf16") else "fp32"
    return "bf16" if lightning_precision("auto", True) == "bf16-mixed" else "fp32"
