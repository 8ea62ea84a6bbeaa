"""Layers in few passes, held against torch's operations."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from segkit.speed import fused_ops as fused
from segkit.speed.beside import Beside

pytest.importorskip("triton", reason="Triton comes with torch's CUDA builds alone")


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The GPU where there is one, its convolutions without TF32; else Triton's interpreter."""
    monkeypatch.setattr("torch.backends.cudnn.allow_tf32", False)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        yield


LAST = torch.channels_last


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that each program takes several tiles."""
    monkeypatch.setattr("segkit.speed.triton_kernels.PROGRAMS", 3)


def same(result: torch.Tensor, expected: torch.Tensor, inputs: tuple[torch.Tensor, ...]) -> None:
    torch.testing.assert_close(result, expected)
    assert result.is_contiguous(memory_format=LAST)
    into = torch.randn_like(expected)
    gradients = torch.autograd.grad(result, inputs, into)
    for mine, its in zip(gradients, torch.autograd.grad(expected, inputs, into), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 16, 6, 4), (1, 24, 2, 2), (3, 512, 4, 6), (1, 1024, 5, 18)])
def test_bias_relu(shape) -> None:
    torch.manual_seed(0)
    values = torch.randn(shape).contiguous(memory_format=LAST).requires_grad_()
    bias = torch.randn(shape[1], requires_grad=True)
    same(fused.bias_relu(values, bias), torch.relu(values + bias[:, None, None]), (values, bias))


@pytest.mark.parametrize("shape", [(2, 16, 6, 4), (1, 2, 5, 3), (3, 512, 4, 6)])
def test_with_bias(shape) -> None:
    torch.manual_seed(0)
    values = torch.randn(shape).contiguous(memory_format=LAST).requires_grad_()
    bias = torch.randn(shape[1], requires_grad=True)
    same(fused.with_bias(values * 1, bias), values + bias[:, None, None], (values, bias))
    with Beside() as taking:
        result = fused.with_bias(values * 1, bias)
    into = torch.randn_like(result)
    result.backward(into)
    assert bias.grad is None
    taking.finish()
    torch.testing.assert_close(bias.grad, into.sum((0, 2, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 16, 6, 4), (1, 24, 2, 2), (3, 512, 4, 6)])
def test_bias_relu_pool(shape) -> None:
    torch.manual_seed(0)
    values = torch.randn(shape).contiguous(memory_format=LAST).requires_grad_()
    bias = torch.randn(shape[1], requires_grad=True)
    expected = F.max_pool2d(torch.relu(values + bias[:, None, None]), 2)
    same(fused.bias_relu_pool(values, bias)[0], expected, (values, bias))


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (1, 3, 1, 1), (2, 3, 16, 20)])
def test_first_layer(shape, relu) -> None:
    torch.manual_seed(0)
    image = torch.randn(shape).contiguous(memory_format=LAST)
    weight = torch.randn(16, 3, 3, 3).contiguous(memory_format=LAST).requires_grad_()
    bias = torch.randn(16, requires_grad=True)
    expected = F.conv2d(image, weight, bias, padding=1)
    same(fused.first_layer(image, weight, bias, relu), expected.relu() if relu else expected, (weight, bias))


def test_what_compilers_are_told_is_true() -> None:
    values = torch.randn(2, 16, 6, 4).contiguous(memory_format=LAST).requires_grad_()
    bias = torch.randn(16, requires_grad=True)
    torch.library.opcheck(fused.bias_relu, (values, bias))
    torch.library.opcheck(fused.bias_relu_pool, (values, bias))
    image = torch.randn(2, 3, 6, 4).contiguous(memory_format=LAST)
    weight = torch.randn(16, 3, 3, 3).contiguous(memory_format=LAST).requires_grad_()
    torch.library.opcheck(fused.first_layer, (image, weight, bias, True))
