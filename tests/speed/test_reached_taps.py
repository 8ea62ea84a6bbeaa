"""Kernels that reach beyond the map, cut to the taps that meet it, held against torch's whole ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.speed import fast_functions
from segkit.speed.beside import Beside
from segkit.speed.fast_functions import FastFunctions
from segkit.speed.reached_taps import Reached, reached

pytestmark = pytest.mark.usefixtures("all_dtypes_taken")


def test_of_a_pyramid_over_a_small_map_columns_are_left() -> None:
    """DeepLabV3+'s dilations over the top of 160×576 at stride 16, 10×36, from the paper's 6 on."""
    assert reached((10, 36), (3, 3), (1, 1), (6, 6), (6, 6)) is None
    part = reached((10, 36), (3, 3), (1, 1), (12, 12), (12, 12))
    assert part is not None
    assert (part.rows, part.columns, part.padding, part.dilation) == (slice(1, 2), slice(0, 3), (0, 12), (1, 12))
    far = reached((10, 36), (3, 3), (1, 1), (36, 36), (36, 36))
    assert far is not None
    assert (far.rows, far.columns, far.padding, far.dilation) == (slice(1, 2), slice(1, 2), (0, 0), (1, 1))


CASES = [
    ((10, 7), 3, 1, 12, 12),  # both axes
    ((4, 30), 3, 1, 4, 4),  # rows alone, just beyond
    ((5, 30), 3, 1, 4, 4),  # all taps meet it
    ((3, 3), 7, 1, 3, 1),  # a wide kernel
    ((2, 9), 5, 2, 4, 2),  # with a stride
    ((6, 6), 3, 1, (12, 2), (12, 2)),
    ((2, 4), 4, 1, 3, 1),  # an even kernel
    ((1, 3), 2, 1, 2, 4),  # no tap meets a row: padding alone
]
LISTED = ((9, 9), 3, (1,), (12,), (12,))
"""Torch takes one number in a list for both axes."""


@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation"), CASES)
@pytest.mark.parametrize("groups", [1, 2])
def test_results_and_gradients_are_torchs(size, kernel, stride, padding, dilation, groups) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups, bias=False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.randn(2, 4, *size).contiguous(memory_format=torch.channels_last).requires_grad_()
    expected = conv(image)
    into = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, [image, conv.weight], into)
    taking = Beside()
    with FastFunctions(), taking:
        result = conv(image)
    torch.testing.assert_close(result, expected)
    (of_image,) = torch.autograd.grad(result, image, into)
    taking.finish()
    torch.testing.assert_close(of_image, wanted[0])
    torch.testing.assert_close(conv.weight.grad, wanted[1])


@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation"), [*CASES, LISTED])
def test_in_prediction_too_with_its_bias(size, kernel, stride, padding, dilation) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, kernel, stride, padding, dilation)
    image = torch.randn(2, 4, *size)
    with torch.inference_mode():
        expected = conv(image)
        with FastFunctions():
            torch.testing.assert_close(conv(image), expected)


def test_gradients_of_taps_that_meet_nothing_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    plain = Reached.whole

    def noted(part: Reached, gradient: Tensor, shape: tuple[int, ...]) -> Tensor:
        shapes.append(tuple(gradient.shape))
        return plain(part, gradient, shape)

    monkeypatch.setattr(Reached, "whole", noted)
    conv = nn.Conv2d(4, 6, 3, padding=12, dilation=12, bias=False)
    taking = Beside()
    with FastFunctions(), taking:
        conv(torch.randn(1, 4, 10, 36)).sum().backward()
    taking.finish()
    assert shapes == [(6, 4, 1, 3)]


def test_taps_that_meet_nothing_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    plain = F.conv2d

    def noted(image: Tensor, weight: Tensor, *rest: object) -> Tensor:
        shapes.append(tuple(weight.shape))
        return plain(image, weight, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(F, "conv2d", noted)
    fast_functions._conv2d(torch.randn(1, 4, 10, 36), torch.randn(6, 4, 3, 3), None, 1, 12, 12)
    assert shapes == [(6, 4, 1, 3)]
