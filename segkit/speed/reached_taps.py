"""The part of a dilated kernel that meets the map at all: the rest multiplies the zeros around it.

Atrous pyramids (DeepLab) look further than small maps reach. Of a 3×3 kernel of dilation 12 over a map of 10 rows the
upper and the lower row see padding alone, wherever it lies: what is left is a kernel of 1×3.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

Pair = tuple[int, int]
"""Of rows and columns."""


class Reached(NamedTuple):
    """The taps of a kernel that meet the map, and how they are to be laid over it."""

    rows: slice
    columns: slice
    padding: Pair
    dilation: Pair

    def of(self, weight: Tensor) -> Tensor:
        """These taps of a weight (O, C, k, k), in channels-last memory of their own."""
        taps = weight[:, :, self.rows, self.columns].permute(0, 2, 3, 1).contiguous()
        return taps.permute(0, 3, 1, 2)

    def whole(self, gradient: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The gradient of a weight of that shape, from that of its taps: 0 for all others."""
        out, channels, height, width = shape
        result = gradient.new_zeros(out, height, width, channels).permute(0, 3, 1, 2)
        result[:, :, self.rows, self.columns] = gradient
        return result


def reached(size: Sequence[int], kernel: Sequence[int], stride: Pair, padding: Pair, dilation: Pair) -> Reached | None:
    """Which taps of a convolution's kernel meet a map of ``size``; None where all do, or it cannot do with fewer."""
    axes = [_reached(*axis) for axis in zip(size, kernel, stride, padding, dilation, strict=True)]
    if None in axes or all(len(axis[0]) == taps for axis, taps in zip(axes, kernel, strict=True)):  # type: ignore[index]
        return None
    (rows, above, down), (columns, before, across) = axes  # type: ignore[misc]
    return Reached(slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1), (above, before), (down, across))


def _reached(size: int, kernel: int, stride: int, padding: int, dilation: int) -> tuple[range, int, int] | None:
    """Along one axis: the taps, their padding and their dilation."""
    places = range(0, size + 2 * padding - dilation * (kernel - 1), stride)
    met = [tap for tap in range(kernel) if any(0 <= place + tap * dilation - padding < size for place in places)]
    if not met:
        return None
    taps, left = range(met[0], met[-1] + 1), padding - met[0] * dilation
    right = padding - (kernel - 1 - met[-1]) * dilation
    if left != right or left < 0:  # torch pads both sides alike
        return None
    return taps, left, dilation if len(taps) > 1 else 1
