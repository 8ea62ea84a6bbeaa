"""An exported file as a function from a picture to probabilities, like the network that it was made of."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.errors import UserError
from segkit.predict.predictor import Segmenter
from segkit.predict.runtimes import open_runtime


class Exported(Segmenter):
    """A file of ``segkit export``, which resizes pictures and brings classes back to their own size by itself.

    Args:
        path: the file.
        key: the setting that it comes from, for errors.
        gpu: device number, or None for the CPU. OpenVINO computes on the CPU.

    Attributes:
        trained_input: how pictures come to its network.
        about: what the file says of itself.
        compute: outputs by name of RGB uint8 (N, 3, H, W); see `segkit.predict.runtimes.Runtime`.

    Raises:
        UserError: a damaged or foreign file, or the package that computes it is missing.
    """

    def __init__(self, path: Path, key: str, gpu: int | None = None) -> None:
        self.device = torch.device("cpu" if gpu is None else f"cuda:{gpu}")
        runtime = open_runtime(path, key, self.device)
        self.compute = runtime.compute
        try:
            self.about: dict[str, Any] = {name: json.loads(text) for name, text in runtime.about.items()}
            self.class_list = tuple(
                SegmentationClass(item["name"], item["colour"] and tuple(item["colour"]), item["background"])
                for item in self.about["classes"]
            )
            self.trained_input = PictureInput.of(**self.about["input"])
            self.precision = str(self.about["precision"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{key}: {path} says of itself what segkit export does not write ({error})") from error
        self.complete = bool(self.about.get("logits")) or len(self.class_list) == 2

    def views(self, picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        return [picture]

    def predict(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        found = self.compute(picture.transpose(2, 0, 1)[None])
        return found["mask"][0].cpu().numpy(), found["confidence"][0].cpu().numpy()

    @torch.inference_mode()
    def probabilities_at(self, views: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> torch.Tensor:
        """As the network's own from logits, else to within 1 of 255 from the confidence.

        What is left of more than two classes beside the one that is chosen is divided among them evenly; see
        ``complete``.
        """
        [picture] = views
        found = self.compute(picture.transpose(2, 0, 1)[None])
        if "logits" in found:
            return found["logits"][0].softmax(0)
        return from_confidence(found["mask"][0], found["confidence"][0], len(self.class_list))


def from_confidence(mask: torch.Tensor, confidence: torch.Tensor, classes: int) -> torch.Tensor:
    """Probabilities float32 (C, H, W) of which ``Segmenter.decide`` makes this mask and confidence, both uint8 (H, W).

    Args:
        mask: class numbers.
        confidence: ``round(255 · p)``, of two classes of class 1, else of the one in the mask.
        classes: their number C.
    """
    known, chosen = confidence.float() / 255, mask.long()[None]
    if classes == 2:
        other = 1 - known
        # A probability of exactly one half is rounded up, but class 0 is chosen.
        return torch.stack([torch.where(mask == 0, torch.maximum(other, known), other), known])
    rest = torch.minimum((1 - known) / max(classes - 1, 1), known * 0.999)
    return rest.expand(classes, *mask.shape).scatter(0, chosen, known[None])
