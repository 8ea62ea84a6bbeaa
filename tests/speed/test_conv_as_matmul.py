"""fc6 as matrix products, held against torch's convolution in float64."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from segkit.speed import conv_as_matmul

triton = pytest.importorskip("triton", reason="Triton comes with torch's CUDA builds alone")


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    """The GPU where there is one, else Triton's interpreter."""
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        yield


@pytest.mark.parametrize("fills", [1, 10**6])  # row by row, and all rows at once
@pytest.mark.parametrize("size", [3, 7])
@pytest.mark.parametrize("shape", [(2, 4, 5, 6), (1, 3, 1, 1), (3, 2, 2, 9), (1, 2, 9, 3)])
def test_equals_the_convolution_and_its_gradients(monkeypatch, fills, size, shape) -> None:
    monkeypatch.setattr(conv_as_matmul, "FILLS", fills)
    torch.manual_seed(0)
    channels = shape[1]
    image = torch.randn(shape, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(5, channels, size, size, dtype=torch.float64).requires_grad_()
    expected = F.conv2d(image, weight, padding=size // 2)
    result = conv_as_matmul.conv_as_matmul(image, weight)
    torch.testing.assert_close(result, expected)
    assert result.is_contiguous(memory_format=torch.channels_last)
    into = torch.randn_like(expected)
    expected_gradients = torch.autograd.grad(expected, (image, weight), into)
    gradients = torch.autograd.grad(result, (image, weight), into)
    # The kernel sums in float32.
    torch.testing.assert_close(gradients[0], expected_gradients[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients[1], expected_gradients[1])


def test_what_compilers_are_told_is_true() -> None:
    image = torch.randn(2, 4, 5, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(3, 4, 7, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    torch.library.opcheck(conv_as_matmul.conv_as_matmul, (image, weight))
