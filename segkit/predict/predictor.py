"""A trained network as a function from a picture of any size to probabilities at that size."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.distributed.devices import lightning_precision
from segkit.errors import UserError
from segkit.models.full_size import logits_at_size, to_confidence
from segkit.models.trained import classes_of, load_network, picture_input_of
from segkit.predict.averaging import Averaging


class Segmenter(ABC):
    """From a picture of any size to its classes: what one network and several together have in common.

    Attributes:
        class_list: the classes by their numbers.
        trained_input: how pictures came to the (first) network when it was trained.
        view_count: how many ``views`` there are of a picture.
        complete: whether the probabilities of all classes are known, not of the one that is chosen alone.
        precision: in which is computed: ``fp32``, ``bf16``, …
        device: on which is computed.
    """

    class_list: tuple[SegmentationClass, ...]
    trained_input: PictureInput
    view_count: int = 1
    complete: bool = True
    precision: str = "fp32"
    device: torch.device = torch.device("cpu")

    def predict(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Class numbers and confidence of an RGB uint8 picture (H, W, 3), both uint8 (H, W).

        The confidence is ``round(255 · p)``: of two classes that of class 1 (the road), else that of the class chosen.
        """
        classes, confidence = self.decide(self.probabilities(picture))
        return classes.cpu().numpy(), confidence.cpu().numpy()

    @staticmethod
    def decide(probabilities: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Class numbers and confidence as ``predict`` gives them, from probabilities (C, H, W)."""
        # ``max`` over few rows is 40 times as fast as ``argmax`` on a CPU; of equals, both take the first.
        largest, classes = probabilities.max(0)
        return classes.byte(), to_confidence(probabilities[1] if len(probabilities) == 2 else largest)

    def probabilities(self, picture: NDArray[np.uint8]) -> torch.Tensor:
        """Class probabilities of an RGB uint8 picture (H, W, 3): float32 (C, H, W) on the network's device."""
        height, width = picture.shape[:2]
        return self.probabilities_at(self.views(picture), (height, width))

    def probabilities_together(
        self, pictures: Sequence[tuple[Sequence[NDArray[np.uint8]], tuple[int, int]]]
    ) -> Iterator[torch.Tensor]:
        """As ``probabilities_at``, of several pictures, each its views and its size; the views are of the same shapes.

        Where a network can be shown them at once, it is. Each picture's probabilities come when they are asked for.
        """
        for views, size in pictures:
            yield self.probabilities_at(views, size)

    @abstractmethod
    def views(self, picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """An RGB uint8 picture (H, W, 3) at the sizes at which it is shown to the network. Runs in any thread."""

    @abstractmethod
    def probabilities_at(self, views: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> torch.Tensor:
        """As ``probabilities``, of the ``views`` of a picture that was of ``size`` (height, width)."""


def check_complete(network: Segmenter, what: str) -> None:
    """Raises UserError, which begins with ``what`` cannot be done, where probabilities are not ``complete``."""
    if not network.complete:
        raise UserError(
            f"{what}: of {len(network.class_list)} classes an exported file tells the confidence of the one that is "
            "chosen alone; segkit export logits=true writes one that tells all"
        )


class Predictor(Segmenter):
    """Built from a checkpoint alone.

    Args:
        checkpoint: as :func:`segkit.models.trained.read_checkpoint` gives it.
        gpu: device number, or None for the CPU.
        precision: as ``trainer.precision``.
        picture_input: how pictures come to the network; None = as when it was trained.
        trust, run: see :func:`segkit.models.trained.load_network`.
        average: see :class:`segkit.predict.averaging.Averaging`.

    Raises:
        UserError: the checkpoint is of a network that this version of the code cannot build, or that is not trusted;
            there is no such ``average``.
    """

    def __init__(
        self,
        checkpoint: Mapping[str, Any],
        gpu: int | None = None,
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        picture_input: PictureInput | None = None,
        trust: Sequence[str] = (),
        run: Path | None = None,
        average: Sequence[str | float] = (),
    ) -> None:
        self.averaging = Averaging(average)
        network = load_network(checkpoint, trust, run)
        self.class_list = classes_of(checkpoint)
        self.trained_input = picture_input_of(checkpoint)
        self.picture_input = picture_input or self.trained_input
        self.device = torch.device("cpu" if gpu is None else f"cuda:{gpu}")
        self.view_count = len(self.averaging.scales)
        bf16 = lightning_precision(precision, gpu is not None) == "bf16-mixed"
        self.precision = "bf16" if bf16 else "fp32"
        self.network = _for_prediction(network, self.device, bf16)

    def views(self, picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        return self.averaging.views(picture, self.picture_input)

    @torch.inference_mode()
    def probabilities_at(self, views: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> torch.Tensor:
        return self.averaging.probabilities(self.network, views, size, self.picture_input, self.device)

    @torch.inference_mode()
    def probabilities_together(
        self, pictures: Sequence[tuple[Sequence[NDArray[np.uint8]], tuple[int, int]]]
    ) -> Iterator[torch.Tensor]:
        shown, shape = self.picture_input, pictures[0][0][0].shape[:2]
        windows = shown.window == "sliding" and shape != shown.image_shape
        if windows or self.averaging.flip or len(self.averaging.scales) > 1:
            yield from super().probabilities_together(pictures)
            return
        images = torch.from_numpy(np.stack([views[0] for views, _ in pictures])).permute(0, 3, 1, 2)
        for logits, (_, size) in zip(self.network(images.to(self.device)), pictures, strict=True):
            yield logits_at_size(logits, size).softmax(0)


def _for_prediction(network: nn.Module, device: torch.device, bf16: bool) -> Callable[[Tensor], Tensor]:
    """The network made fast, or as it is where ``segkit.speed`` is not there."""
    if find_spec("segkit.speed") is not None:
        from segkit.speed.inference import InferenceNetwork

        return InferenceNetwork(network, device, bf16)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def plain(image: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits: Tensor = network(image)
        return logits

    return plain
