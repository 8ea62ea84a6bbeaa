"""Augmentation from a plain list of settings, with one promise: a sample's randomness depends on its key alone."""

import inspect
import os
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from segkit.data.records import IGNORE_INDEX
from segkit.errors import UserError

# albumentations asks a server for updates when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

TRIALS = 16

CROP = 1
"""Ends the key of a crop's place, which so does not depend on what the list draws."""


class Augmentation:
    """Applies ``transforms`` (``[{name: HorizontalFlip, p: 0.5}, …]``, albumentations' names and arguments) in order.

    Labels are only ever resampled with nearest neighbour, and what a transform adds around a picture is 255 in them.
    With ``crops``, pictures of any size come in, and what the list makes of them is cropped to ``image_shape`` at a
    random place, where smaller padded. Where ``mirrors_only``, nothing is done before that but to mirror the pictures
    for which ``mirrored`` says so, left to right.

    Raises:
        UserError: an unknown transform or argument, a wrong value, or a list that changes the pictures' shape or type
            or makes up label values.
    """

    def __init__(
        self, transforms: Sequence[Mapping[str, Any]], image_shape: tuple[int, int], crops: bool = False
    ) -> None:
        self.image_shape, self.crops = image_shape, crops
        self.mirror_probability = _mirror_probability(transforms)
        self.compose: Any = None
        if not self.mirrors_only:
            import albumentations  # takes seconds, which the most usual augmentation can do without

            built = [_build(settings, f"augment.transforms[{i}]") for i, settings in enumerate(transforms)]
            # Shapes are compared here, once per sample, with an error that names the key.
            self.compose = albumentations.Compose(built, is_check_shapes=False)
            self._try_out()

    @property
    def mirrors_only(self) -> bool:
        """Whether the list is empty, or one ``HorizontalFlip``: pictures (before a crop) are mirrored or left alone."""
        return self.mirror_probability is not None

    def mirrored(self, key: Sequence[int]) -> bool:
        """Whether the picture of ``key`` is mirrored, where ``mirrors_only``: what ``__call__`` does with it."""
        assert self.mirror_probability is not None
        if self.mirror_probability in (0, 1):
            return self.mirror_probability == 1
        _, draw = _randomness(key)
        draw.random()  # albumentations' Compose draws first, whether it is to do anything at all
        return draw.random() < self.mirror_probability

    def __call__(
        self, image: NDArray[np.uint8], label: NDArray[np.uint8], key: Sequence[int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Augment a picture uint8 (H, W, 3) and its label uint8 (H, W).

        ``key`` (numbers ≥ 0, such as seed, epoch and index) determines all that is random, the process and what it
        augmented before do not.
        """
        if self.mirrors_only:
            if self.mirrored(key):
                image, label = cv2.flip(image, 1), cv2.flip(label, 1)  # type: ignore[assignment]
        else:
            image, label = self._composed(image, label, key)
        if self.crops:
            return _cropped(image, label, self.image_shape, np.random.default_rng([*key, CROP]))
        return image, label

    def _composed(
        self, image: NDArray[np.uint8], label: NDArray[np.uint8], key: Sequence[int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        # Not set_random_seed: it gives every transform a generator of its own with the same seed, so that their
        # decisions are all alike.
        self.compose.set_random_state(*_randomness(key))
        result = self.compose(image=image, mask=label)
        image, label = result["image"], result["mask"]
        if not self.crops and (image.shape[:2] != self.image_shape or label.shape != self.image_shape):
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
                changed, mask = self(image, label, (trial,))
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


def _cropped(
    image: NDArray[np.uint8], label: NDArray[np.uint8], shape: tuple[int, int], generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Picture and label at ``shape``, from anywhere in them; where they are smaller, anywhere in black and 255."""
    spare = [own - wanted for own, wanted in zip(label.shape, shape, strict=True)]
    places = [int(generator.integers(abs(rest) + 1)) for rest in spare]
    # Where there is room, a crop begins at its place; where there is none, the picture lies there in the padding.
    kept = tuple(
        slice(place, place + wanted) if rest >= 0 else slice(None)
        for place, wanted, rest in zip(places, shape, spare, strict=True)
    )
    image, label = image[kept], label[kept]
    if min(spare) >= 0:
        return np.ascontiguousarray(image), np.ascontiguousarray(label)
    padded, padded_label = np.zeros((*shape, 3), np.uint8), np.full(shape, IGNORE_INDEX, np.uint8)
    within = tuple(
        slice(None) if rest >= 0 else slice(place, place + own)
        for place, own, rest in zip(places, label.shape, spare, strict=True)
    )
    padded[within], padded_label[within] = image, label
    return padded, padded_label


def _mirror_probability(transforms: Sequence[Mapping[str, Any]]) -> float | None:
    """How probable it is that a picture is mirrored, where ``transforms`` do nothing else; None where they do, or where
    albumentations has to say what is wrong with them."""
    if not transforms:
        return 0.0
    settings = {"p": 0.5} | dict(transforms[0])
    p = settings.pop("p")
    plain = len(transforms) == 1 and settings == {"name": "HorizontalFlip"} and type(p) in (int, float)
    return p if plain and 0 <= p <= 1 else None


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
        raise UserError(f"{key}: name={name} is no albumentations transform for pictures. There are {', '.join(names)}")
    parameters = inspect.signature(transform).parameters
    known = list(parameters)
    unknown = [argument for argument in arguments if argument not in known]
    if unknown:
        raise UserError(f"{key}: {name} has no argument {', '.join(unknown)}. It has {', '.join(known)}")
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
