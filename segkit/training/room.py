"""Whether a run's memory is there, before its data take their time: on the CPU a system ends what takes too much."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from segkit.config.instantiate import build
from segkit.data.module import SegmentationDataModule
from segkit.distributed.devices import Processes
from segkit.distributed.memory import lacking
from segkit.errors import UserError
from segkit.models.room import activation_bytes, weight_bytes, without_memory

SURE = 0.8
"""Of what layers keep for the backward pass, the share that is surely needed: some are computed together."""


def check_room(model: Mapping[str, Any], data: SegmentationDataModule, processes: Processes, half: bool) -> None:
    """Estimate what weights, gradients and one step take, and refuse what this machine has not got.

    Args:
        model: the group of the config.
        data: whose pictures and batches are meant; nothing of it is read.
        processes: those of this machine, each with weights and batches of its own; nothing is refused on GPUs, which
            tell by themselves that their memory is full.
        half: activations have 16 bits.

    Raises:
        UserError: with the estimate.
    """
    if processes.indices:
        return
    count = processes.count
    unfilled = {"weights": None} if "weights" in model else {}
    network = without_memory(lambda: build("model", {**model, **unfilled}, nn.Module, num_classes=data.num_classes))
    if network is None:
        return
    weights = 2 * count * weight_bytes(network)
    if told := lacking(weights):
        raise UserError(f"model: its weights and their gradients take {told}; give a smaller model")
    shape = data.picture_input.image_shape
    step = activation_bytes(network, (data.batch_size, 3, *shape), training=True)
    if step is not None and (told := lacking(weights + SURE * count * step / (1 + half))):
        raise UserError(
            f"data.batch_size={data.batch_size}, data.image_shape=[{shape[0]},{shape[1]}]: a step takes {told}; "
            "lower one of them, or give a smaller model"
        )
