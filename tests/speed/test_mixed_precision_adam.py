"""Adam with twins, held against torch's own Adam."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from segkit.speed.cuda_graph_step import GpuStep
from segkit.speed.mixed_precision_adam import TwinAdam

pytest.importorskip("triton", reason="Triton comes with torch's CUDA builds alone")


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    """The GPU where there is one, else Triton's interpreter."""
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        yield


def test_updates_as_torchs_adam_does() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(5, 7, 3, 3).contiguous(memory_format=torch.channels_last))
    expected = nn.Parameter(weight.detach().clone())
    twin = weight.detach().half()  # the interpreter rounds bfloat16 towards zero
    ours = TwinAdam([weight], lr=1e-2, weight_decay=0.1)
    ours.set_twins({weight: twin})
    reference = torch.optim.Adam([expected], lr=1e-2, weight_decay=0.1)
    for _ in range(5):
        twin.grad = torch.randn_like(twin)
        expected.grad = twin.grad.float()
        ours.step()
        reference.step()
        torch.testing.assert_close(weight, expected)
        assert torch.equal(twin, weight.half())
    assert weight.grad is None
    for name, value in reference.state[expected].items():
        torch.testing.assert_close(ours.state[weight][name], value)


def test_goes_on_from_torchs_state_and_hands_it_back() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(4, 4))
    expected = nn.Parameter(weight.detach().clone())
    reference = torch.optim.Adam([expected], lr=1e-2)
    expected.grad = torch.ones_like(expected)
    reference.step()
    weight.data.copy_(expected)
    ours = TwinAdam([weight], lr=1e-2)
    ours.load_state_dict(copy.deepcopy(reference.state_dict()))
    twin = weight.detach().bfloat16()
    ours.set_twins({weight: twin})
    twin.grad = torch.full_like(twin, -0.5)
    expected.grad = twin.grad.float()
    ours.step()
    reference.step()
    torch.testing.assert_close(weight, expected)
    assert ours.state_dict()["state"][0].keys() == reference.state_dict()["state"][0].keys()


def test_a_state_from_another_kind_of_device_is_updated_as_this_ones() -> None:
    weight = nn.Parameter(torch.ones(3))
    saved = TwinAdam([weight], lr=1e-2, fused=False).state_dict()
    ours = TwinAdam([weight], lr=1e-3, fused=True)
    ours.load_state_dict(saved)
    assert ours.param_groups[0]["fused"] is True
    assert ours.param_groups[0]["lr"] == 1e-2


def test_what_took_no_part_in_the_loss_is_left_alone() -> None:
    weight = nn.Parameter(torch.ones(3))
    ours = TwinAdam([weight], lr=1e-2)
    ours.set_twins({weight: weight.detach().bfloat16().requires_grad_()})
    ours.step()
    assert weight.tolist() == [1, 1, 1]
    assert not ours.state


@pytest.mark.parametrize("clip", [None, 0.1])
def test_steps_with_twins_are_the_steps_of_autocast(monkeypatch: pytest.MonkeyPatch, clip: float | None) -> None:
    monkeypatch.setattr("segkit.speed.cuda_graph_step.HELD_TWICE_FROM", 16)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    other = copy.deepcopy(network)
    pictures = torch.randn(6, 2, 3, 8, 8)
    labels = torch.randint(0, 2, (6, 2, 8, 8))

    def loss(image, label, replaced):
        return nn.functional.cross_entropy(torch.func.functional_call(network, dict(replaced), (image,)).float(), label)

    ours = TwinAdam(network.parameters(), lr=1e-2)
    step = GpuStep(network, loss, loss, ours, bf16=True, clip=clip)
    assert sorted(step.twins) == ["0.weight", "2.weight"]
    reference = torch.optim.Adam(other.parameters(), lr=1e-2)
    for number, (image, label) in enumerate(zip(pictures, labels, strict=True)):
        if number >= 3:  # what would be recorded on a GPU; batches of another shape are taken as they come
            image, label = image[:1], label[:1]
        with torch.autocast(image.device.type, torch.bfloat16):
            expected = nn.functional.cross_entropy(other(image).float(), label)
        reference.zero_grad()
        expected.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(other.parameters(), clip)
        reference.step()
        torch.testing.assert_close(step(image, label), expected.detach(), rtol=0, atol=1e-3)
    # They have gone up to 0.06. The interpreter rounds twins towards zero, and Adam makes much of small differences.
    tolerance = {"rtol": 0, "atol": 1e-2}
    for mine, its in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, its, **tolerance)
