"""Gradients of weights, taken out of backward and computed beside it, held against torch's."""

import copy
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from segkit.speed import beside
from segkit.speed.beside import Beside
from segkit.speed.convolution import convolve
from segkit.speed.fast_functions import FastFunctions
from segkit.speed.mixed_precision import HalfPrecisionWeights

LAST = torch.channels_last

pytestmark = pytest.mark.usefixtures("all_dtypes_taken")


def gradients(network: nn.Module, loss: Callable[[], Tensor]) -> list[Tensor | None]:
    network.zero_grad()
    loss().backward()
    return [weight.grad for weight in network.parameters()]


@pytest.mark.parametrize("held", [0, 1 << 40])
@pytest.mark.parametrize(
    "conv",
    [
        lambda: nn.Conv2d(8, 6, 3, padding=1, bias=False),
        lambda: nn.Conv2d(8, 6, 3, stride=2, padding=(1, 0), bias=False),
        lambda: nn.Conv2d(8, 6, (1, 3), dilation=2, groups=2, bias=False),
        lambda: nn.Conv2d(8, 6, 3, padding="same", bias=False),
        lambda: nn.Conv2d(8, 6, 3, padding=1, padding_mode="reflect", bias=False),
        lambda: nn.Conv2d(8, 6, 3, padding=1),
    ],
)
def test_gradients_are_torchs(conv, held, monkeypatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(beside, "HELD", held)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), conv()).to(memory_format=LAST)  # type: ignore[call-overload]
    image = torch.randn(2, 3, 12, 10).contiguous(memory_format=LAST)
    wanted = gradients(network, lambda: network(image).square().sum())
    taking = Beside()

    def loss() -> Tensor:
        with FastFunctions(), taking:
            return network(image).square().sum()

    found = gradients(network, loss)
    assert found[0] is None  # it is beside
    taking.finish()
    for mine, its in zip([weight.grad for weight in network.parameters()], wanted, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-4)


def test_a_wide_kernel_over_a_small_map() -> None:
    pytest.importorskip("triton", reason="Triton comes with torch's CUDA builds alone")
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 6, 7, padding=3, bias=False).to(memory_format=LAST)  # type: ignore[call-overload]
    image = torch.randn(2, 8, 5, 9).contiguous(memory_format=LAST)
    wanted = gradients(conv, lambda: conv(image).square().sum())
    conv.zero_grad()
    with Beside() as taking:
        convolve(image, conv).square().sum().backward()
    taking.finish()
    torch.testing.assert_close(conv.weight.grad, wanted[0], rtol=1e-4, atol=1e-3)


class Twice(nn.Module):
    """One weight in two layers, and in the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.other = nn.Conv2d(4, 4, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.other(self.one(self.one(image))).square().mean() + self.other.weight.square().sum()


def test_a_weight_that_is_used_elsewhere_too() -> None:
    torch.manual_seed(0)
    network, image = Twice(), torch.randn(2, 4, 6, 6)
    wanted = gradients(network, lambda: network(image))
    taking = Beside(_Noted(), list(network.parameters()))
    for _ in range(2):
        network.zero_grad()
        with FastFunctions(), taking:
            network(image).backward()
        taking.finish()
        assert not taking.early
        for weight, its in zip(network.parameters(), wanted, strict=True):
            torch.testing.assert_close(weight.grad, its)


class _Noted:
    """Takes updates, and does none."""

    def begin(self, copies) -> None:
        pass

    def update(self, copy, gradient) -> None:
        pass


def test_a_weight_used_more_often_after_its_update_is_an_error() -> None:
    conv, image = nn.Conv2d(4, 4, 3, padding=1, bias=False), torch.randn(1, 4, 5, 5)
    taking = Beside(_Noted(), [conv.weight])
    for step in range(2):
        with FastFunctions(), taking:
            conv(image).sum().backward()
        taking.finish()
        assert (conv.weight.grad is None) == (step == 1)
        conv.zero_grad()
    with FastFunctions(), taking:
        result = conv(conv(image)).sum()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.backward()


def test_a_weight_that_is_read_again_after_its_update_is_an_error() -> None:
    """Without a gradient of its own there, nothing but the reader can tell."""
    conv, image = nn.Conv2d(4, 4, 3, padding=1, bias=False), torch.randn(1, 4, 5, 5)
    inner = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    taking = Beside(_Noted(), [conv.weight])

    def loss() -> Tensor:
        with FastFunctions(), taking:
            first = torch.conv2d(inner(image), conv.weight.detach(), padding=1)
            return conv(first).sum()

    loss().backward()
    taking.finish()
    again = loss()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        again.backward()


def test_nothing_is_kept_of_a_pass_that_fails() -> None:
    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, image):
            return image * 1

        @staticmethod
        def backward(ctx, gradient):
            raise ValueError("out of memory")

    first, second = (nn.Conv2d(4, 4, 3, padding=1, bias=False) for _ in range(2))
    taking = Beside()
    with FastFunctions(), taking:
        image = first(torch.randn(1, 4, 5, 5)) * 2
        held = weakref.ref(image)
        result = second(Failing.apply(second(image))).sum()
    with pytest.raises(ValueError, match="out of memory"):
        result.backward()
    del image, result
    assert held() is not None
    taking.clear()
    assert held() is None


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_updates_within_backward_are_the_optimisers(decay) -> None:
    pytest.importorskip("triton", reason="Triton comes with torch's CUDA builds alone")
    torch.manual_seed(0)
    plain = nn.Sequential(*(nn.Conv2d(6, 6, 3, padding=1, bias=False) for _ in range(3))).to(memory_format=LAST)  # type: ignore[call-overload]
    network = copy.deepcopy(plain)
    image = torch.randn(2, 6, 7, 5).contiguous(memory_format=LAST)
    expected = torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=decay)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=decay)
    held = {name: weight for name, weight in network.named_parameters() if name != "1.weight"}
    weights = HalfPrecisionWeights(held, optimizer)
    for name, weight in held.items():  # the copies in full precision, so that results can be held together
        weights.copies[name] = weights.pairs[weight] = weight.detach().clone().requires_grad_()
    taking = Beside(weights, weights.copies.values())
    for step in range(3):
        expected.zero_grad()
        plain(image).square().mean().backward()
        expected.step()
        weights.zero_grad()
        with FastFunctions(), taking:
            loss = torch.func.functional_call(network, weights.copies, (image,)).square().mean()
        loss.backward()
        taking.finish()
        assert len(taking.early) == 2
        assert all((copy.grad is None) == (step > 0) for copy in weights.copies.values())
        weights.step()
    for mine, its in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5)
        assert optimizer.state[mine]["step"] == 3
    for name, weight in held.items():
        assert torch.equal(weights.copies[name], weight)
