"""Masks of class numbers or colours, as people have them, to labels."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segkit.data.checks import VALUES, PictureError
from segkit.data.datasets.own.classes import Colour, Description
from segkit.data.images import decode_values

UNKNOWN = 254
"""Marks values of a mask that the classes file does not name; it has 250 classes at most."""


def mask_values(data: bytes, path: Path) -> NDArray[np.generic]:
    """A mask as it is stored: whole numbers (H, W), or RGB uint8 (H, W, 3); an alpha channel is dropped.

    Raises:
        PictureError: it cannot be decoded, or holds something else.
    """
    values = decode_values(data, path)
    if values.dtype not in (np.uint8, np.uint16):
        raise PictureError(VALUES, path, f"holds {values.dtype}; masks are whole numbers of 8 or 16 bits, or colours")
    if values.ndim == 3 and values.shape[2] == 2:
        values = values[..., 0]
    if values.ndim == 3 and values.dtype != np.uint8:
        raise PictureError(VALUES, path, "has 16 bits in each of three channels; colours are 8 bits")
    return values[..., 2::-1] if values.ndim == 3 else values


def packed(colours: NDArray[np.generic]) -> NDArray[np.int32]:
    """RGB uint8 (…, 3) as one number each, red · 65536 + green · 256 + blue."""
    wide = colours.astype(np.int32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


class MaskReader:
    """From masks to class numbers, by what a classes file says."""

    def __init__(self, description: Description) -> None:
        self.description = description

    def decode(self, data: bytes, path: Path) -> NDArray[np.uint8]:
        """Class numbers uint8 (H, W), 255 where nothing is scored.

        Raises:
            PictureError: the mask cannot be decoded, or holds what the classes file does not name.
        """
        values = mask_values(data, path)
        if values.ndim == 3 and self.description.colours:
            label = self._by_colour[packed(values)]
        else:
            if values.ndim == 3 and (values != values[..., :1]).any():
                raise PictureError(VALUES, path, f"is in colour, and {self.description.file.name} has no colours")
            values = values[..., 0] if values.ndim == 3 else values
            label = self._by_number[values]
        if (label == UNKNOWN).any():
            raise PictureError(VALUES, path, self._unknown(values[label == UNKNOWN]))
        return label

    @cached_property
    def _by_number(self) -> NDArray[np.uint8]:
        table = np.full(1 << 16, UNKNOWN, np.uint8)
        for value, number in self.description.numbers.items():
            if 0 <= value < len(table):
                table[value] = number
        return table

    @cached_property
    def _by_colour(self) -> NDArray[np.uint8]:
        table = np.full(1 << 24, UNKNOWN, np.uint8)
        for colour, number in self.description.colours.items():
            table[packed(np.array(colour))] = number
        return table

    def _unknown(self, values: NDArray[np.generic]) -> str:
        """What is wrong with ``values``, numbers (n,) or colours (n, 3)."""
        kinds, counts = np.unique(values, axis=0, return_counts=True)
        worst = kinds[counts.argmax()].tolist()
        name = self.description.file.name
        more = f" and {len(kinds) - 1} more" if len(kinds) > 1 else ""
        if values.ndim == 1:
            return f"has the value {worst}{more}, which {name} does not name: add it to label_mapping or to ignore"
        near = _near(worst, self.description.colours)
        blended = near is not None or len(kinds) > 50
        hint = "was it saved as JPEG, or resized with blended edges? Write it anew as PNG" if blended else ""
        place = f"add it to colours or to ignore in {name}"
        close = f", close to {near}" if near is not None else ""
        return f"has {len(values)} pixels of the colour {worst}{more}{close}; {hint or place}"


def _near(colour: list[int], known: Mapping[Colour, int]) -> list[int] | None:
    """A known colour that differs by so little that nobody would choose both."""
    for other in known:
        if max(abs(a - b) for a, b in zip(colour, other, strict=True)) <= 6:
            return list(other)
    return None
