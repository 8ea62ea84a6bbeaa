"""What tests of convolutions taken by `FastFunctions` share."""

from collections.abc import Iterator

import pytest
import torch

from segkit.speed import fast_functions


@pytest.fixture
def all_dtypes_taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On the GPU where there is one, its convolutions without TF32; all dtypes are taken."""
    monkeypatch.setattr("torch.backends.cudnn.allow_tf32", False)
    monkeypatch.setattr(fast_functions, "_applies", lambda image, *dtypes: True)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        yield
