"""The augmentation of segkit's own: the same code for whole batches on a GPU and for single samples in workers."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Le
from numpy.typing import NDArray
from torch import Tensor

from segkit.data.augment import light, sensor, shadows
from segkit.data.augment.base import BatchAugmentation, Key, Picture
from segkit.data.augment.drawing import Unit, drawn, factor
from segkit.data.augment.geometry import Geometry
from segkit.data.augment.mixing import VALUES, pasted, random_half
from segkit.data.augment.sending import sent, sent_together
from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.errors import UserError, choices

Share = Annotated[float, Ge(0), Le(1)]
Amount = Annotated[float, Ge(0)]

PASTE = 0.5
"""The probability of pasting where classes are named and it is not."""

Pictures = Callable[[NDArray[np.int64]], Tensor]
"""Training pictures by their numbers (B,): uint8 (B, H, W, 4)."""


class Augmentation(BatchAugmentation):
    """In this order: objects of another training picture pasted in, each of the two pictures in a geometry of its own
    (one bilinear resampling, and none where only mirrored and cropped); light and colour; shadows; blur; noise.

    All is drawn anew for each sample: amounts evenly up to their limit, factors evenly on a logarithmic scale, from
    1/scale to scale, from 1/(1 + brightness) to 1 + brightness, and so on. Black stays black but for noise and blur.

    Args:
        strength: of all that follows: amounts are multiplied by it, factors raised to its power, probabilities
            multiplied where it is below 1. 0 = nothing but the crop.
        scale: of the size, a factor. Pictures are then cropped or padded to the training shape at a random place.
        flip: probability of mirroring left to right.
        rotation: degrees, either way.
        brightness: of all values, a factor.
        contrast: of the distances from middle grey, a factor; black and white stay.
        saturation: of each pixel's distance from its grey, a factor.
        cast: of each channel alone, a factor: a colour cast.
        gamma: of the values' exponent, a factor.
        noise: standard deviation, share of full white.
        blur: standard deviation of a Gaussian, pixels.
        shadow: share of the light that a cast shadow takes; half of the pictures have shadows.
        paste: probability that all pixels of ``paste_classes`` in another picture are pasted in; None = 0.5 where
            there are such classes.
        paste_classes: their names.
        classmix: probability that a random half of the classes of another picture is pasted in (Olsson et al., 2021,
            https://arxiv.org/abs/2007.07936).

    Raises:
        UserError: something is to be pasted, but nobody has said what.
    """

    def __init__(
        self,
        strength: Amount = 1.0,
        scale: Annotated[float, Ge(1)] = 1.0,
        flip: Share = 0.0,
        rotation: Annotated[float, Ge(0), Le(180)] = 0.0,
        brightness: Amount = 0.0,
        contrast: Amount = 0.0,
        saturation: Amount = 0.0,
        cast: Amount = 0.0,
        gamma: Amount = 0.0,
        noise: Amount = 0.0,
        blur: Amount = 0.0,
        shadow: Share = 0.0,
        paste: Share | None = None,
        paste_classes: Sequence[str] = (),
        classmix: Share = 0.0,
    ) -> None:
        if paste and not paste_classes:
            raise UserError(
                f"augment.paste={paste:g}: nothing is pasted without augment.paste_classes; name them, such as "
                f"'augment.paste_classes=[pole,bicyclist]', or give augment.paste=null"
            )
        once = min(strength, 1)
        self.scale, self.rotation, self.flip = scale**strength, rotation * strength, flip * once
        self.brightness, self.contrast, self.saturation, self.cast, self.gamma = (
            (1 + share) ** strength for share in (brightness, contrast, saturation, cast, gamma)
        )
        self.noise, self.blur, self.shadow = noise * strength, blur * strength, min(shadow * strength, 1)
        self.paste_classes = list(paste_classes)
        share = PASTE if paste is None and self.paste_classes else paste or 0
        self.paste, self.classmix = share * once, classmix * once
        self.tones = max(self.brightness, self.contrast, self.cast, self.gamma) > 1

    @property
    def does_nothing(self) -> bool:
        """Whether samples are the pictures as they are, or crops of them."""
        amounts = self.flip, self.rotation, self.noise, self.blur, self.shadow, self.paste, self.classmix
        return max(amounts) == 0 and max(self.scale, self.saturation) == 1 and not self.tones

    def prepare(self, picture_input: PictureInput, class_list: Sequence[SegmentationClass], count: int) -> None:
        super().prepare(picture_input, class_list, count)
        self.geometry = Geometry(self.image_shape, self.flip, self.scale, self.rotation)
        names = [item.name for item in class_list]
        for name in self.paste_classes:
            if name not in names:
                raise UserError(f"augment.paste_classes: there is no class {name}{choices(name, names)}")
        self.pasted_values = np.isin(np.arange(VALUES), [names.index(name) for name in self.paste_classes])

    def __call__(self, picture: Callable[[int], Picture], key: Key) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        image, label = self._augmented(lambda numbers: torch.from_numpy(picture(int(numbers[0])))[None], [key])
        return image[0].permute(1, 2, 0).numpy(), label[0].numpy()

    def batch(self, pictures: Tensor, keys: Sequence[Key]) -> tuple[Tensor, Tensor]:
        return self._augmented(lambda numbers: pictures[sent(numbers, pictures.device)], keys)

    def _augmented(self, pictures: Pictures, keys: Sequence[Key]) -> tuple[Tensor, Tensor]:
        unit = drawn(keys)
        numbers = np.array([key.number for key in keys])
        image, label = self.geometry(pictures(numbers), unit["place"])
        image, label = self._mixed(image, label, pictures, numbers, unit)
        return self._lit(image, unit).contiguous(memory_format=torch.channels_last), label.contiguous()

    def _mixed(
        self, image: Tensor, label: Tensor, pictures: Pictures, numbers: NDArray[np.int64], unit: Unit
    ) -> tuple[Tensor, Tensor]:
        which, paste, mix = unit["mix"].T
        pastes, mixes = paste < self.paste, mix < self.classmix
        rows = np.flatnonzero(pastes | mixes)
        if self.count < 2 or not len(rows):
            return image, label
        others = (numbers + 1 + (which * (self.count - 1)).astype(np.int64)) % self.count
        partner = self.geometry(pictures(others[rows]), unit["partner_place"][rows])
        device = image.device
        chosen = sent(pastes[rows, None] & self.pasted_values, device)
        if self.classmix:
            half = random_half(partner[1], sent(unit["priority"][rows], device))
            chosen = chosen | (half & sent(mixes[rows, None], device))
        if len(rows) == len(numbers):
            return pasted(image, label, partner, chosen)
        there = sent(rows, device)
        mixed = pasted(image[there], label[there], partner, chosen)
        return image.index_copy(0, there, mixed[0]), label.index_copy(0, there, mixed[1])

    def _lit(self, image: Tensor, unit: Unit) -> Tensor:
        values = self._light(unit)
        if not values:
            return image
        given = sent_together(values, image.device)
        lit = light.through_curves(image, given["curves"]) if "curves" in given else image.float()
        if "saturation" in given:
            lit = light.saturated(lit, given["saturation"])
        if "depths" in given:
            lit = shadows.shaded(lit, given["depths"], given["edge"], given["sides"], given["grid"])
        if "taps" in given:
            lit = sensor.blurred(lit, given["taps"])
        if "noise" in given:
            lit = sensor.add_noise(lit, given["noise"], unit["noise"][:, 1:])
        return lit.round_().clamp_(0, 255).to(torch.uint8, memory_format=torch.channels_last)

    def _light(self, unit: Unit) -> dict[str, NDArray[Any]]:
        """What the recipe does to light and colour, and how much of it in each sample; empty for nothing."""
        values: dict[str, NDArray[Any]] = {}
        if self.tones:
            tone = unit["tone"]
            values["curves"] = light.curves(
                factor(tone[:, 0], self.brightness),
                factor(tone[:, 1], self.contrast),
                factor(tone[:, 2], self.gamma),
                factor(tone[:, 3:], self.cast),
            )
        if self.saturation > 1:
            values["saturation"] = factor(unit["saturation"], self.saturation)
        if self.shadow:
            height, width = self.image_shape
            values |= shadows.shadow_parameters(unit, self.shadow, width / height)
        if self.blur:
            values["taps"] = sensor.taps(self.blur * unit["blur"][:, 0], sensor.radius(self.blur))
        if self.noise:
            values["noise"] = self.noise * 255 * unit["noise"][:, 0]
        return values
