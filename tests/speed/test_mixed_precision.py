"""Weights held twice, held against torch's own optimisers."""

import copy
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import nn

from segkit.speed import mixed_precision
from segkit.speed.averages import Averages
from segkit.speed.mixed_precision import HalfPrecisionWeights, large_weights

pytest.importorskip("triton", reason="Triton comes with torch's CUDA builds alone")

OPTIMIZERS = [
    partial(torch.optim.Adam, weight_decay=0.1),
    partial(torch.optim.AdamW, weight_decay=0.1),
    partial(torch.optim.Adam, amsgrad=True),
    partial(torch.optim.AdamW, maximize=True),
    partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=0.1),
    torch.optim.RMSprop,
]


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    """The GPU where there is one, else Triton's interpreter."""
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        yield


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_as_torchs_optimizer_does(optimizer) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(5, 7, 3, 3).contiguous(memory_format=torch.channels_last))
    expected = nn.Parameter(weight.detach().clone())
    ours, reference = optimizer([weight], lr=1e-2), optimizer([expected], lr=1e-2)
    weights = HalfPrecisionWeights({"weight": weight}, ours)
    held = weights.copies["weight"] = weight.detach().half()  # the interpreter rounds bfloat16 towards zero
    weights.pairs[weight] = held
    for _ in range(5):
        held.grad = torch.randn_like(held)
        expected.grad = held.grad.float()
        weights.step()
        reference.step()
        torch.testing.assert_close(weight, expected)
        assert torch.equal(held, weight.half())
    assert weight.grad is None
    assert ours.state[weight].keys() == reference.state[expected].keys()
    for name, value in reference.state[expected].items():
        torch.testing.assert_close(ours.state[weight][name], value)


def test_averages_are_brought_up_to_date_with_the_weights() -> None:
    torch.manual_seed(0)
    large, small = nn.Parameter(torch.randn(5, 7, 3, 3)), nn.Parameter(torch.randn(9))
    counter = torch.zeros((), dtype=torch.int64)
    shares = iter([0.5, 0.125, 0.125])
    held = {"a.large": large, "small": small, "counter": counter}
    average = Averages({name: (tensor, tensor.detach().clone()) for name, tensor in held.items()}, lambda: next(shares))
    weights = HalfPrecisionWeights({"large": large}, torch.optim.AdamW([large, small], lr=0.1), average)
    expected = {name: tensor.detach().clone() for name, tensor in held.items()}
    for share in (0.5, 0.125, 0.125):
        for weight in (weights.copies["large"], small):
            weight.grad = torch.randn_like(weight)
        counter += 3
        average.set_share(average.next_share())
        weights.step()
        for name in ("a.large", "small"):
            expected[name].lerp_(held[name].detach(), share)
    assert {*average.buffers()} == {*average.of.values()}  # the trial keeps and puts back all of them
    torch.testing.assert_close(average.of[large], expected["a.large"])
    torch.testing.assert_close(average.of[small], expected["small"])
    assert average.of[counter] == 9


def test_goes_on_from_torchs_state_and_hands_it_back() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(4, 4, 2, 2).contiguous(memory_format=torch.channels_last))
    expected = nn.Parameter(weight.detach().clone().contiguous())  # its state has another order in memory
    reference = torch.optim.Adam([expected], lr=1e-2)
    expected.grad = torch.ones_like(expected)
    reference.step()
    weight.data.copy_(expected)
    ours = torch.optim.Adam([weight], lr=1e-2)
    ours.load_state_dict(copy.deepcopy(reference.state_dict()))
    weights = HalfPrecisionWeights({"weight": weight}, ours)
    held = weights.copies["weight"]
    held.grad = torch.randn(4, 4, 2, 2, dtype=held.dtype)  # and so has this gradient
    expected.grad = held.grad.float()
    weights.step()
    reference.step()
    torch.testing.assert_close(weight, expected)
    assert ours.state_dict()["state"][0].keys() == reference.state_dict()["state"][0].keys()


def test_weights_that_joined_later_count_their_own_steps() -> None:
    weights = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))]
    expected = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))]
    ours, reference = torch.optim.Adam(weights, lr=0.1), torch.optim.Adam(expected, lr=0.1)
    held = HalfPrecisionWeights(dict(zip("ab", weights, strict=True)), ours)
    for taking_part in ("a", "a", "ab", "ab"):
        held.zero_grad()
        reference.zero_grad()
        for name in taking_part:
            held.copies[name].grad = torch.tensor([1, -1, 0.5], dtype=torch.bfloat16)
            expected["ab".index(name)].grad = torch.tensor([1, -1, 0.5])
        held.step()
        reference.step()
    for mine, its in zip(weights, expected, strict=True):
        torch.testing.assert_close(mine, its)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_what_took_no_part_in_the_loss_is_left_alone(optimizer) -> None:
    weight = nn.Parameter(torch.ones(3))
    ours = optimizer([weight], lr=1e-2)
    HalfPrecisionWeights({"weight": weight}, ours).step()
    assert weight.tolist() == [1, 1, 1]
    assert not ours.state


def test_large_weights_that_are_updated_are_held_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed_precision, "LARGE", 8)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1))
    network[0].requires_grad_(False)
    network[3].weight.data = torch.ones(1).expand(4, 2, 1, 1)
    updated = [*network[0].parameters(), *network[1].parameters(), *network[3].parameters()]
    assert list(large_weights(network, torch.optim.SGD(updated, lr=0.1))) == ["1.weight"]


def test_the_network_gets_the_rounded_weights_after_another_change() -> None:
    weight = nn.Parameter(torch.ones(3))
    weights = HalfPrecisionWeights({"weight": weight}, torch.optim.SGD([weight], lr=1))
    weight.data.fill_(2)
    weights.refresh()
    assert weights.copies["weight"].tolist() == [2, 2, 2]
