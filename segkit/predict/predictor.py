"""A trained network as a function from a picture of any size to probabilities at that size."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from segkit.config.instantiate import import_class
from segkit.data.images import resize_image
from segkit.distributed.devices import lightning_precision
from segkit.errors import UserError
from segkit.predict.postprocess import logits_at_size
from segkit.speed.inference import InferenceNetwork
from segkit.train.task import SegmentationTask


class Predictor:
    """Built from a checkpoint alone (:func:`segkit.train.checkpoints.read_checkpoint`).

    Args:
        checkpoint: the loaded checkpoint.
        gpu: device number, or None for the CPU.
        precision: as ``trainer.precision``.
        image_shape: (height, width) that pictures are resized to for the network; None = those it was trained at.

    Raises:
        UserError: the checkpoint is of a task that this version of the code cannot build.
    """

    def __init__(
        self,
        checkpoint: dict[str, Any],
        gpu: int | None = None,
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        image_shape: tuple[int, int] | None = None,
    ) -> None:
        task = trained_task(checkpoint)
        self.class_list = task.class_list
        self.trained_shape: tuple[int, int] = tuple(task.hparams["image_shape"])
        self.image_shape = image_shape or self.trained_shape
        device = torch.device("cpu" if gpu is None else f"cuda:{gpu}")
        bf16 = lightning_precision(precision, gpu is not None) == "bf16-mixed"
        self.network = InferenceNetwork(task.network, device, bf16)

    def resized(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An RGB uint8 picture (H, W, 3) at the network's input size. Runs in any thread."""
        return resize_image(picture, self.image_shape)

    def probabilities(self, picture: NDArray[np.uint8]) -> torch.Tensor:
        """Class probabilities of an RGB uint8 picture (H, W, 3): float32 (C, H, W) on the predictor's device."""
        height, width = picture.shape[:2]
        return self.probabilities_at(self.resized(picture), (height, width))

    @torch.inference_mode()
    def probabilities_at(self, resized: NDArray[np.uint8], size: tuple[int, int]) -> torch.Tensor:
        """As ``probabilities``, of a picture that is ``resized`` already and was of ``size`` (height, width)."""
        logits = self.network(torch.from_numpy(resized).permute(2, 0, 1)[None])
        return logits_at_size(logits[0], size).softmax(0)


def trained_task(checkpoint: dict[str, Any]) -> SegmentationTask:
    """The task that a checkpoint was made by, with the checkpoint's weights, on the CPU.

    Raises:
        UserError: this version of the code cannot build it.
    """
    task_class = import_class(checkpoint["segkit"]["task"], SegmentationTask, "checkpoint, made by")
    try:
        # The checkpoint's own weights follow, so pretrained ones are not wanted.
        task = task_class(**checkpoint["hyper_parameters"] | {"weights": None})
        task.load_state_dict(checkpoint["state_dict"])
    except (TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"checkpoint: does not fit this version of {task_class.__name__} ({reason})") from error
    return task
