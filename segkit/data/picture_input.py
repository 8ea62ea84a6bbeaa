"""How pictures come to a network: at what size, and through what window."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeGuard

from annotated_types import Ge, Gt, Le, Len

Side = Annotated[int, Gt(0), Le(16384)]
"""Pixels of a height or width: OpenCV's warping, which augments and shows, takes less than 32 768."""

Shape = Annotated[Sequence[Side], Len(2, 2)]
"""(height, width) as settings have them."""

Resized = Shape | Annotated[int, Ge(16), Le(16384)] | Annotated[float, Gt(0), Le(1)] | Literal["image_shape"] | None
"""``Resize`` as settings have it."""

Overlap = Annotated[float, Ge(0), Le(0.9)]

Resize = tuple[int, int] | int | float | None
"""What pictures are resized to: (height, width), pixels of the longer side (an int above 1), a share of their own size
(above 0, to 1), or None: they stay as they are."""


@dataclass(frozen=True)
class PictureInput:
    """What is done with a picture's size before the network.

    Args:
        image_shape: (height, width) of the pictures that the network is trained on, and of its window.
        resize: see ``Resize``. Where it is not ``image_shape``, training takes random crops of ``image_shape``.
        window: how larger pictures are shown in validation and prediction: through a window of ``image_shape`` that
            slides over them, or whole.
        overlap: share of the window that it has in common with the next one at least, 0…0.9.
    """

    image_shape: tuple[int, int]
    resize: Resize
    window: Literal["sliding", "whole"]
    overlap: float

    @classmethod
    def of(
        cls,
        image_shape: Sequence[int],
        resize: Sequence[int] | float | Literal["image_shape"] | None = "image_shape",
        window: Literal["sliding", "whole"] = "sliding",
        overlap: float = 0.5,
    ) -> "PictureInput":
        """From settings as they are in a config; ``resize="image_shape"`` is the same shape."""
        height, width = image_shape
        if resize == "image_shape":
            resize = image_shape
        kept: Any = (int(resize[0]), int(resize[1])) if isinstance(resize, Sequence) else resize
        return cls((int(height), int(width)), kept, window, overlap)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and lists that ``of`` takes."""
        resize = list(self.resize) if isinstance(self.resize, tuple) else self.resize
        shape = list(self.image_shape)
        return {"image_shape": shape, "resize": resize, "window": self.window, "overlap": self.overlap}

    @property
    def crops(self) -> bool:
        """Whether training takes crops."""
        return self.resize != self.image_shape

    def shape_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of a picture of ``size`` after ``resize``."""
        return resized_shape(size, self.resize)

    def __str__(self) -> str:
        shape = "×".join(map(str, self.image_shape))
        if not self.crops:
            return shape
        if isinstance(self.resize, tuple):
            own = "×".join(map(str, self.resize))
        elif is_longer_side(self.resize):
            own = f"{self.resize} at the longer side"
        else:
            own = f"{self.resize or 1:g} of its size"
        return f"{own} {'whole' if self.window == 'whole' else f'through {shape}'}"


def is_longer_side(resize: Resize) -> TypeGuard[int]:
    """Whether ``resize`` is the longer side in pixels."""
    return isinstance(resize, int) and resize > 1


def resized_shape(size: tuple[int, int], resize: Resize) -> tuple[int, int]:
    """(height, width) that a picture of ``size`` is resized to."""
    if isinstance(resize, tuple):
        return resize
    share = Fraction(resize, max(size)) if is_longer_side(resize) else share_of(1.0 if resize is None else resize)
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def share_of(factor: float) -> Fraction:
    """A factor as the fraction that was meant: 0.35 is 7/20, so that a half is one on every machine."""
    return Fraction(factor).limit_denominator(100_000)
