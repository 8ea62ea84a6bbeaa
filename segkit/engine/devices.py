"""What a user asks of the hardware, in Lightning's terms."""

from typing import Any, Literal

import torch

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


def lightning_devices(gpus: Gpus) -> dict[str, Any]:
    """Lightning's ``accelerator`` and ``devices`` for ``trainer.gpus``."""
    indices = gpu_indices(gpus)
    return {"accelerator": "gpu", "devices": indices} if indices else {"accelerator": "cpu", "devices": 1}


def lightning_precision(precision: Literal["auto", "fp32", "bf16"], on_gpu: bool) -> Literal["32-true", "bf16-mixed"]:
    """Lightning's ``precision``: ``auto`` is bf16 autocast on GPUs that compute in bf16, fp32 elsewhere."""
    if precision == "auto":
        precision = "bf16" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16-mixed" if precision == "bf16" else "32-true"
