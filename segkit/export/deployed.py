"""A trained network as other programs want it: pictures as they are in, classes and confidence of the same size out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segkit.data.picture_input import PictureInput, is_longer_side, share_of
from segkit.export.resizing import resize_picture, scaled
from segkit.export.windows import windowed_logits
from segkit.models.full_size import to_confidence

OUTPUTS = ("mask", "confidence", "logits")
"""Names of the outputs, in order; logits are there on request."""


class Deployed(nn.Module):
    """The whole way of a picture through :class:`segkit.predict.predictor.Predictor`, of tensors alone.

    Args:
        network: pictures uint8 (N, 3, H, W) to logits (N, C, H, W), in evaluation mode.
        shown: how pictures come to it: resized or not, whole or through a window.
        logits: whether they are an output too.
    """

    def __init__(self, network: nn.Module, shown: PictureInput, logits: bool = False) -> None:
        super().__init__()
        self.network, self.shown, self.logits = network, shown, logits

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Classes and confidence of pictures at their own size, and logits where they are asked for.

        Args:
            image: RGB uint8 (N, 3, H, W), 0…255, of any size.

        Returns:
            ``mask`` uint8 (N, H, W), the class numbers; ``confidence`` uint8 (N, H, W), ``round(255 · p)``: of two
            classes that of class 1, else that of the class chosen; ``logits`` float32 (N, C, H, W).
        """
        height, width = image.shape[-2:]
        logits = self._logits(self._resized(image)).float()
        logits = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
        probabilities = logits.softmax(1)
        largest, classes = probabilities.max(1)
        sure = to_confidence(probabilities[:, 1] if logits.shape[1] == 2 else largest)
        return (classes.byte(), sure, logits) if self.logits else (classes.byte(), sure)

    def _resized(self, image: Tensor) -> Tensor:
        resize, (height, width) = self.shown.resize, image.shape[-2:]
        if resize is None:
            return image
        if isinstance(resize, tuple):
            return resize_picture(image, resize)
        if is_longer_side(resize):
            over, under = resize, torch.sym_max(height, width)
        else:
            over, under = share_of(resize).as_integer_ratio()
        return resize_picture(image, (scaled(height, over, under), scaled(width, over, under)))

    def _logits(self, image: Tensor) -> Tensor:
        if self.shown.window == "whole" or self.shown.resize == self.shown.image_shape:
            logits: Tensor = self.network(image)
            return logits
        return windowed_logits(self.network, image, self.shown.image_shape, self.shown.overlap)
