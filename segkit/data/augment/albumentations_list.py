"""A list of albumentations' transforms, with one promise: a sample's randomness depends on its key alone."""

import inspect
import os
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from segkit.data.augment.base import Key, Picture, SampleAugmentation
from segkit.data.augment.drawing import drawn
from segkit.data.augment.geometry import Geometry
from segkit.data.picture_input import PictureInput
from segkit.data.records import IGNORE_INDEX, SegmentationClass
from segkit.errors import UserError, choices

# albumentations asks a server for updates when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

TRIALS = 16


class AlbumentationsList(SampleAugmentation):
    """Applies ``transforms`` in order; on the CPU, in loader processes.

    Labels are only ever resampled with nearest neighbour, and what a transform adds around a picture is 255 in them.
    Where pictures are not resized to the training shape, what the list makes of them is cropped to it at a random
    place, where smaller padded; otherwise the list has to end at that shape.

    Args:
        transforms: albumentations' names and arguments, ``[{name: HorizontalFlip, p: 0.5}, …]``.

    Raises:
        UserError: an unknown transform or argument, a wrong value.
    """

    imports = ("albumentations",)

    def __init__(self, transforms: Sequence[Mapping[str, Any]]) -> None:
        import albumentations  # takes seconds, which other augmentations can do without

        built = [_build(settings, f"augment.transforms[{i}]") for i, settings in enumerate(transforms)]
        # Shapes are compared here, once per sample, with an error that names the key.
        self.compose = albumentations.Compose(built, is_check_shapes=False)

    def prepare(self, picture_input: PictureInput, class_list: Sequence[SegmentationClass], count: int) -> None:
        """As for every augmentation; the list is tried out.

        Raises:
            UserError: it changes the pictures' shape or type, or makes up label values.
        """
        super().prepare(picture_input, class_list, count)
        self.crop = Geometry(self.image_shape, flip=0, scale=1, rotation=0) if picture_input.crops else None
        self._try_out()

    def __call__(self, picture: Callable[[int], Picture], key: Key) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        pixels = picture(key.number)
        # OpenCV takes the channels apart several times as fast as numpy.
        rgb, classes = cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB), cv2.extractChannel(pixels, 3)
        image, label = self._composed(rgb, classes, key)  # type: ignore[arg-type]
        if self.crop is None:
            return image, label
        both = torch.from_numpy(np.dstack([image, label]))[None]
        cropped, kept = self.crop(both, drawn([key])["place"])
        return np.ascontiguousarray(cropped[0].permute(1, 2, 0).numpy()), kept[0].contiguous().numpy()

    def _composed(
        self, image: NDArray[np.uint8], label: NDArray[np.uint8], key: Sequence[int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        # Not set_random_seed: it gives every transform a generator of its own with the same seed, so that their
        # decisions are all alike.
        self.compose.set_random_state(*_randomness(key))
        result = self.compose(image=image, mask=label)
        image, label = result["image"], result["mask"]
        if self.crop is None and (image.shape[:2] != self.image_shape or label.shape != self.image_shape):
            raise UserError(
                f"augment.transforms gives pictures of shape {list(image.shape[:2])} and labels of shape "
                f"{list(label.shape)}; it has to end at data.image_shape={list(self.image_shape)} every time "
                f"(for example by PadIfNeeded and RandomCrop with p: 1)"
            )
        return image, label

    def _try_out(self) -> None:
        """Apply the list a few times to a made-up picture, so that mistakes show before the first epoch."""
        noise = np.random.default_rng(0)
        image = noise.integers(0, 256, (*self.image_shape, 3), np.uint8)
        label = noise.choice(np.array([0, 100, 200, IGNORE_INDEX], np.uint8), self.image_shape)
        for trial in range(TRIALS):
            try:
                changed, mask = self._composed(image, label, (trial,))
            except UserError:
                raise
            except Exception as error:
                raise UserError(f"augment.transforms fails on a picture of data.image_shape: {error}") from error
            if changed.dtype != np.uint8 or changed.ndim != 3 or mask.dtype != np.uint8:
                raise UserError(
                    f"augment.transforms gives {changed.dtype} pictures and {mask.dtype} labels instead of uint8: "
                    f"leave normalisation and conversion out, the network does them"
                )
            made_up = np.setdiff1d(mask, label)
            if made_up.size:
                raise UserError(
                    f"augment.transforms puts values into labels that were not there ({made_up[0]}): "
                    f"only padding is new in a label, and it is {IGNORE_INDEX}"
                )


def _randomness(key: Sequence[int]) -> tuple[np.random.Generator, random.Random]:
    """The two generators that albumentations draws from."""
    generator = np.random.default_rng(list(key))
    return generator, random.Random(int(generator.integers(1 << 62)))


def _build(settings: Mapping[str, Any], key: str) -> Any:
    import albumentations

    arguments = dict(settings)
    name = arguments.pop("name", None)
    transform: Any = getattr(albumentations, str(name), None)
    if name is None or not _is_picture_transform(transform):
        names = sorted(n for n in dir(albumentations) if _is_picture_transform(getattr(albumentations, n)))
        near = choices(name, names)
        raise UserError(f"{key}: name={name} is no albumentations transform for pictures{near}")
    parameters = inspect.signature(transform).parameters
    known = list(parameters)
    unknown = [argument for argument in arguments if argument not in known]
    if unknown:
        near = choices(unknown[0], known, "it has")
        raise UserError(f"{key}: {name} has no argument {', '.join(unknown)}{near}")
    forced = {"mask_interpolation": 0} if "mask_interpolation" in known else {}
    # None (of the dropouts) leaves the label as it is; a number is what the transform pads with.
    if "fill_mask" in known and parameters["fill_mask"].default is not None:
        forced["fill_mask"] = IGNORE_INDEX
    for argument, value in forced.items():
        if arguments.setdefault(argument, value) != value:
            raise UserError(f"{key}: {argument}={arguments[argument]} would falsify labels; it is always {value}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return transform(**arguments)
    except Exception as error:
        raise UserError(f"{key}: {name}: {_in_short(error)}") from error


def _is_picture_transform(candidate: Any) -> bool:
    import albumentations

    # A 3-D transform takes volumes, and the bare bases do nothing.
    kinds = (albumentations.ImageOnlyTransform, albumentations.DualTransform)
    return (
        inspect.isclass(candidate)
        and issubclass(candidate, kinds)
        and candidate not in kinds
        and "3D" not in candidate.__name__
    )


def _in_short(error: Exception) -> str:
    """What is wrong with which argument, without pydantic's links and counts."""
    if not isinstance(error.__cause__, ValidationError):
        return str(error)
    return "; ".join(sorted({f"{problem['loc'][0]}: {problem['msg']}" for problem in error.__cause__.errors()}))
