"""Test-time averaging: probabilities as the mean over views of one picture, mirrored and at other scales."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segkit.config.check import shown
from segkit.config.trained_schema import check_average
from segkit.data.images import resize_image
from segkit.data.picture_input import PictureInput, resized_shape
from segkit.errors import UserError
from segkit.models.full_size import Network, full_size_logits


class Averaging:
    """Which views of a picture a network is shown, and the mean of what it says of them.

    Args:
        average: ``flip``: every view mirrored (left and right) too; numbers: scales 0.25…4 of the network's input size,
            beside 1. Empty: the picture as it is, alone.

    Raises:
        UserError: something else in ``average``.
    """

    def __init__(self, average: Sequence[str | float] = ()) -> None:
        try:
            check_average(list(average))
        except ValueError as error:
            raise UserError(f"average={shown(list(average))}: {error}") from error
        self.flip = "flip" in average
        # 1 comes first: networks are made fast for the first picture that they are shown.
        self.scales = (1.0, *(float(scale) for scale in average if scale != "flip"))

    def views(self, picture: NDArray[np.uint8], picture_input: PictureInput) -> list[NDArray[np.uint8]]:
        """An RGB uint8 picture (H, W, 3) at each scale of its input size, unmirrored. Runs in any thread."""
        size = picture_input.shape_of((picture.shape[0], picture.shape[1]))
        return [resize_image(picture, resized_shape(size, scale)) for scale in self.scales]

    def probabilities(
        self,
        network: Network,
        views: Sequence[NDArray[np.uint8]],
        size: tuple[int, int],
        picture_input: PictureInput,
        device: torch.device,
    ) -> Tensor:
        """The mean of the softmax of all views, each brought back to the picture's own ``size`` (height, width) first.

        One view is computed after the other, so memory is that of the largest. Through a sliding window that does not
        grow with the scale; shown whole, it grows with the scale's square.

        Args:
            network: see ``Network``.
            views: of ``views``.
            picture_input: how they come to the network. A view smaller than the picture at its input size is not
                padded to the window.
            device: the network's.

        Returns:
            float32 (C, H, W).
        """
        total: Tensor | None = None
        for scale, view in zip(self.scales, views, strict=True):
            image = torch.from_numpy(view).permute(2, 0, 1)[None].to(device)
            way = picture_input if scale >= 1 else _within(picture_input, image)
            for mirrored in (False, True) if self.flip else (False,):
                [logits] = full_size_logits(network, image.flip(-1) if mirrored else image, [size], way)
                own = logits.softmax(0)
                own = own.flip(-1) if mirrored else own
                total = own if total is None else total.add_(own)
        assert total is not None
        count = len(self.scales) * (2 if self.flip else 1)
        return total if count == 1 else total.div_(count)


def _within(picture_input: PictureInput, image: Tensor) -> PictureInput:
    """The same, with a window no larger than ``image`` (1, 3, H, W)."""
    (rows, columns), (height, width) = picture_input.image_shape, image.shape[2:]
    return replace(picture_input, image_shape=(min(rows, height), min(columns, width)))
