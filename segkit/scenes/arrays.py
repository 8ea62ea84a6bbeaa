"""The array type of these modules; the docstrings say which shape and data type are meant."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
"""OpenCV's stubs give every result as any integer or floating type, so nothing narrower can be checked."""
