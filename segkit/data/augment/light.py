"""Light and colour: a curve for each channel, and how colourful a picture is."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Red's, green's and blue's share of a pixel's brightness (ITU-R BT.601)."""


def curves(
    brightness: NDArray[np.float64],
    contrast: NDArray[np.float64],
    gamma: NDArray[np.float64],
    gains: NDArray[np.float64],
) -> NDArray[np.float64]:
    """What becomes of each value 0…255, by picture and channel: (B, 3, 256), from 0 to 255.

    Args:
        brightness: factor of the value, (B,).
        contrast: slope at middle grey of a curve that black and white are fixed points of, (B,).
        gamma: exponent of the value, 1 = as it is, above 1 darker, (B,).
        gains: factor of each channel, (B, 3).
    """
    values = (np.arange(256) / 255) ** gamma[:, None]
    # The odds of a value to the power of the contrast: a straight line would make black of all that is dark.
    steep = values ** contrast[:, None]
    values = steep / (steep + (1 - values) ** contrast[:, None])
    return np.clip(values[:, None, :] * (brightness[:, None] * gains)[:, :, None], 0, 1) * 255


def through_curves(image: Tensor, curves: Tensor) -> Tensor:
    """Each value of a picture uint8 (B, 3, h, w) looked up in ``curves`` (B, 3, 256): float32 (B, 3, h, w)."""
    count = len(image)
    firsts = torch.arange(0, count * 3 * 256, 256, dtype=torch.int32, device=image.device).view(count, 3, 1, 1)
    places = image.to(torch.int32, memory_format=torch.contiguous_format).add_(firsts)
    return curves.flatten().index_select(0, places.flatten()).view(image.shape)


def saturated(image: Tensor, factor: Tensor) -> Tensor:
    """Each pixel's distance from its grey times ``factor`` (B,), in place; image float32 (B, 3, h, w), 0…255."""
    red, green, blue = image.unbind(1)
    grey = (red * LUMA[0]).add_(green * LUMA[1]).add_(blue * LUMA[2])
    factor = factor.view(-1, 1, 1, 1)
    return image.mul_(factor).add_(grey[:, None].mul_(1 - factor))
