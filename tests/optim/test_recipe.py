"""Parameter groups by hand, and recipes against torch's own optimisers."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn

from segkit.errors import UserError
from segkit.optim.groups import parameter_groups
from segkit.optim.recipe import Optimization, kernels

CONF = Path(__file__).resolve().parents[2] / "conf"


class Network(nn.Module):
    """An encoder with batch normalisation, a decoder, and a layer that belongs to neither."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 4, 1)
        self.decoder = nn.ConvTranspose2d(4, 2, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.head(self.encoder(image)))


def network() -> Network:
    torch.manual_seed(0)
    return Network()


def settings_of(model: nn.Module, groups: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """(learning rate, decay) by the parameter's name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[p]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def recipe(name: str, *changed: str, **given: Any) -> Optimization:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(overrides=[f"+optimizer={name}", *changed]).optimizer
    made = instantiate(config, _convert_="all", **given)
    assert isinstance(made, Optimization)
    return made


def test_kernels_decay_norms_and_biases_do_not_and_the_encoder_learns_slower() -> None:
    model = network()
    groups = parameter_groups(model, 1.0, weight_decay=0.1, decoder_decay=0.2, encoder_factor=0.5)
    assert settings_of(model, groups) == {
        "encoder.0.weight": (0.5, 0.1),
        "encoder.0.bias": (0.5, 0),
        "encoder.1.weight": (0.5, 0),
        "encoder.1.bias": (0.5, 0),
        "head.weight": (1, 0.1),
        "head.bias": (1, 0),
        "decoder.weight": (1, 0.2),
        "decoder.bias": (1, 0),
    }
    # What is logged as the learning rate is the first group's.
    assert groups[0]["lr"] == 1


def test_all_decay_if_asked_and_equal_settings_are_one_group() -> None:
    model = network()
    groups = parameter_groups(model, 1.0, weight_decay=0.1, decay_all=True)
    assert [group["params"] for group in groups] == [list(model.parameters())]
    assert set(settings_of(model, groups).values()) == {(1, 0.1)}


def test_frozen_parameters_are_in_the_groups() -> None:
    model = network()
    model.encoder.requires_grad_(False)
    assert len(settings_of(model, parameter_groups(model, 1.0))) == 8


def test_a_slower_encoder_needs_an_encoder() -> None:
    with pytest.raises(UserError, match=r"optimizer\.encoder_factor=0\.1"):
        parameter_groups(nn.Conv2d(3, 2, 1), 1.0, encoder_factor=0.1)
    assert parameter_groups(nn.Conv2d(3, 2, 1), 1.0, decoder_decay=0.1)[0]["weight_decay"] == 0


def take_steps(model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Any, steps: int, penalty: float) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        image = torch.randn(2, 3, 6, 6, generator=generator)
        optimizer.zero_grad()
        loss = model(image).square().mean()
        if penalty:
            loss = loss + penalty / 2 * model.decoder.weight.square().sum()  # type: ignore[union-attr, operator]
        loss.backward()
        optimizer.step()
        scheduler.step()


def test_adam_is_adam_with_l2_on_the_decoders_kernels() -> None:
    ours, by_hand = network(), network()
    take_steps(ours, *recipe("adam").build(ours, 5), 5, penalty=0)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=1e-4)
    take_steps(by_hand, optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0), 5, penalty=1e-3)
    for (name, one), other in zip(ours.named_parameters(), by_hand.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-7), name


@pytest.mark.parametrize(
    ("name", "kind", "arguments"),
    [
        ("adamw", torch.optim.AdamW, {"lr": 1e-3, "weight_decay": 0.01}),
        ("sgd", torch.optim.SGD, {"lr": 0.01, "weight_decay": 5e-4, "momentum": 0.9}),
    ],
)
def test_recipes_are_torchs_own(name: str, kind: Any, arguments: dict[str, float]) -> None:
    ours, torchs = network(), network()
    optimizer, scheduler = recipe(name, decay_all=True, schedule="constant").build(ours, 3)
    assert type(optimizer) is kind
    take_steps(ours, optimizer, scheduler, 3, penalty=0)
    other = kind(torchs.parameters(), **arguments)
    take_steps(torchs, other, torch.optim.lr_scheduler.LambdaLR(other, lambda step: 1.0), 3, penalty=0)
    for one, two in zip(ours.parameters(), torchs.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_schedule_holds_for_every_group() -> None:
    model = network()
    optimizer, scheduler = recipe("sgd", warmup=1, encoder_factor=0.5).build(model, 5)
    rates = []
    for _ in range(5):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    by_hand = [0.5, 1, 0.75**0.9, 0.5**0.9, 0.25**0.9]
    assert [pair[0] for pair in rates] == pytest.approx([0.01 * factor for factor in by_hand])
    assert [pair[-1] for pair in rates] == pytest.approx([0.005 * factor for factor in by_hand])


def test_another_class_by_its_path_and_arguments_by_their_names() -> None:
    optimizer, _ = recipe("adam", "optimizer.algorithm._target_=torch.optim.RAdam").build(network(), 1)
    assert type(optimizer) is torch.optim.RAdam
    optimizer, _ = recipe("sgd", "optimizer.algorithm.momentum=0.5").build(network(), 1)
    assert [group["momentum"] for group in optimizer.param_groups] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (partial(torch.optim.Adam, lr=1), r"optimizer\.algorithm\.lr: give optimizer\.learning_rate instead"),
        (torch.optim.LBFGS, r"optimizer\.weight_decay: this algorithm has none; give 0"),
    ],
)
def test_mistakes_name_the_key_and_the_remedy(algorithm: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Optimization(algorithm, decoder_decay=1e-3).build(network(), 1)


@pytest.mark.parametrize(
    ("algorithm", "on_gpu", "expected"),
    [
        (torch.optim.SGD, True, {"fused": True}),
        (partial(torch.optim.AdamW, betas=(0.9, 0.98)), True, {"fused": True}),
        (torch.optim.AdamW, False, {}),
        (torch.optim.RAdam, True, {}),
        (partial(torch.optim.AdamW, fused=False), True, {}),
        (partial(torch.optim.AdamW, foreach=True), True, {}),
    ],
)
def test_on_a_gpu_one_launch_unless_the_user_wants_another(algorithm: Any, on_gpu: bool, expected: Any) -> None:
    assert kernels(algorithm, on_gpu) == expected


def test_a_state_from_a_gpu_is_updated_as_this_device_does() -> None:
    model = network()
    optimizer, scheduler = recipe("adam").build(model, 5)
    take_steps(model, optimizer, scheduler, 2, penalty=0)
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group["fused"] = True
    other, _ = recipe("adam").build(model, 5)
    other.load_state_dict(state)
    assert [group["fused"] for group in other.param_groups] == [None, None]
    assert other.state_dict()["state"][0]["step"] == 2
