"""The model of training on several GPUs: by hand, by what has to hold of any, and against what was measured."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from segkit.benchmarks.bare import build_network
from segkit.benchmarks.readme import put
from segkit.benchmarks.scaling import (
    COUNTS,
    UPDATE_BYTES,
    Layer,
    Machine,
    layers_of,
    layers_of_model,
    model_table,
    predict,
)
from segkit.benchmarks.table import write_csv
from segkit.config.compose import composed, resolved
from segkit.speed.mixed_precision import LARGE
from tests import growth_model

# Round figures: 100 bytes a second, half a step is backward, and half of what is shared is lost to it.
ROUND = Machine(
    within=100,
    between=100,
    per_host=8,
    message=0,
    hop=0,
    host_hop=0,
    contention=0.5,
    held_up=1,
    memory=math.inf,
    backward=0.5,
)
FREE = Machine(within=math.inf, between=math.inf, message=0, hop=0, host_hop=0, contention=0.5, held_up=0)
FAST_STEPS = [0.5, 2.0, 8.0, 30.0, 200.0]


def layers(early: int, late: int) -> list[Layer]:
    """The first one's gradient is there when half of backward is done, and the second one's is small."""
    return [Layer(0.5, (early,), 0, 7), Layer(0.5, (), late, 3)]


def fcn() -> list[Layer]:
    return layers_of_model(resolved(composed("bench", []))["model"], (160, 576), bf16=True)


def test_an_exchange_that_backward_hides_costs_contention_and_the_last_message() -> None:
    # Of 10 s, 5 are backward; sent from 2.5 to 3.5 s of it; the last message takes 0.4 s.
    step = predict(layers(100, 40), 10_000, 2, ROUND)
    assert step.exchange_ms == pytest.approx(1400)
    assert step.hidden_ms == pytest.approx(1000)
    assert step.derived_ms == pytest.approx(10_000 + 500 + 400)
    assert step.step_ms == pytest.approx(step.derived_ms + 1000)
    assert step.efficiency == pytest.approx(10 / 11.9)


def test_an_exchange_that_is_longer_than_backward_is_waited_for() -> None:
    # Sent from 2.5 to 6.5 s of a backward of 5.
    step = predict(layers(400, 40), 10_000, 2, ROUND)
    assert step.hidden_ms == pytest.approx(2500)
    assert step.derived_ms == pytest.approx(10_000 + 1500 + 1250 + 400)


def test_messages_wait_for_each_other() -> None:
    both = [Layer(0.2, (100,), 0, 1), Layer(0.1, (200,), 0, 1), Layer(0.7, (100,), 0, 1)]
    # There at 1, 1.5 and 5 s, on their way at 1–2, 2–4 and 5–6.
    step = predict(both, 10_000, 2, ROUND)
    assert step.hidden_ms == pytest.approx(3000)
    assert step.derived_ms == pytest.approx(10_000 + 1000 + 1500)


def test_the_update_is_no_time_in_which_an_exchange_is_hidden() -> None:
    slow = replace(ROUND, memory=UPDATE_BYTES * 10 / 6)  # 10 weights: 6 of 10 s, backward 2
    assert predict(layers(400, 0), 10_000, 2, slow).hidden_ms == pytest.approx(1000)


def test_each_gpu_sends_more_the_more_there_are_and_hosts_share_their_adapters() -> None:
    machine = replace(ROUND, between=10, message=1, hop=0.1, host_hop=0.25)
    assert machine.exchange_seconds(100, 1) == 0
    assert machine.exchange_seconds(100, 2) == pytest.approx(1 + 0.2 + 1)
    assert machine.exchange_seconds(100, 4) == pytest.approx(1 + 0.6 + 1.5)
    # Eight adapters of 10 bytes a second; within the hosts 7 steps there and back, between the two of them one.
    assert machine.exchange_seconds(100, 16) == pytest.approx(1 + 1.4 + 0.5 + 2 * 15 / 16 * 100 / 80)


def test_one_gpu_has_nothing_to_exchange() -> None:
    step = predict(layers(100, 40), 8.0, 1, ROUND)
    assert (step.exchange_ms, step.step_ms, step.efficiency) == (0, 8.0, 1)


@pytest.mark.parametrize("gpus", COUNTS)
@pytest.mark.parametrize("alone", FAST_STEPS)
def test_where_exchanges_take_no_time_efficiency_is_1(gpus: int, alone: float) -> None:
    assert predict(fcn(), alone, gpus, FREE).efficiency == pytest.approx(1)


@pytest.mark.parametrize("gpus", COUNTS)
def test_more_bandwidth_is_never_slower(gpus: int) -> None:
    network = fcn()
    for alone in FAST_STEPS:
        steps = [
            predict(network, alone, gpus, Machine(within=rate, between=rate / 8)).step_ms
            for rate in (1e9, 1e10, 5e10, 1e11, 4e11, 1e12, math.inf)
        ]
        assert steps == sorted(steps, reverse=True)


@pytest.mark.parametrize("gpus", COUNTS)
def test_a_longer_step_is_never_less_efficient_nor_are_fewer_gpus(gpus: int) -> None:
    network = fcn()
    efficiencies = [predict(network, 0.1 * 1.2**i, gpus).efficiency for i in range(50)]
    assert efficiencies == sorted(efficiencies)
    along = [predict(network, 8.0, count).efficiency for count in COUNTS]
    assert along == sorted(along, reverse=True)


def test_layers_in_backwards_order_with_their_products_and_bytes() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, LARGE // 8, 1),
        nn.ConvTranspose2d(LARGE // 8, 2, 2, stride=2, bias=False),
    )
    network[1].requires_grad_(False)
    last, large, norm, first = layers_of(network, (4, 6))
    products = [LARGE // 8 * 8 * 24, LARGE * 24, 0, 8 * 27 * 24]  # at each of 4 × 6 places
    assert [layer.work for layer in (last, large, norm, first)] == pytest.approx([p / sum(products) for p in products])
    assert (last.early, last.late) == ((2 * LARGE,), 0)  # LARGE / 8 × 2 × 2 × 2 weights
    assert (large.early, large.late) == ((2 * LARGE,), 4 * LARGE // 8)
    assert (norm.early, norm.late, norm.weights) == ((), 0, 0)
    assert (first.early, first.late, first.weights) == ((), 4 * (8 * 27 + 8), 8 * 27 + 8)
    assert sum(layer.late for layer in layers_of(network, (4, 6), bf16=False)) == 4 * sum(
        layer.weights for layer in (last, large, first)
    )


def test_gradients_come_in_the_order_in_which_backward_makes_them() -> None:
    model = resolved(composed("bench", ["model.fc_channels=64"]))["model"]
    torch.manual_seed(0)
    network = build_network(model)
    made: list[int] = []
    for weight in network.parameters():
        if weight.numel() >= LARGE:
            weight.register_post_accumulate_grad_hook(lambda weight: made.append(2 * weight.numel()))
    network(torch.zeros(1, 3, 32, 32)).sum().backward()
    assert [size for layer in layers_of(network, (32, 32)) for size in layer.early] == made


@pytest.mark.parametrize(
    "words",
    [
        ["model=fcn16"],
        ["model=unet", "model.encoder=resnet34"],
        ["model=fpn", "model.encoder=convnext_tiny"],
        ["model=deeplabv3plus"],
        ["model=torchvision"],
    ],
    ids=lambda words: words[0],
)
def test_all_weights_of_any_network_are_exchanged(words: list[str]) -> None:
    with torch.device("meta"):
        network = build_network(resolved(composed("bench", words))["model"])
    found = layers_of(network, (64, 96))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert sum(layer.weights for layer in found) == count
    assert sum(sum(layer.early) / 2 + layer.late / 4 for layer in found) == count
    assert sum(layer.work for layer in found) == pytest.approx(1)


# ---- against what was measured ----


def test_two_gpus_are_predicted_within_5_percent() -> None:
    (row,) = [row for row in growth_model.kept().rows if row["measured_step_ms"] is not None]
    assert (row["gpus"], row["batch_per_gpu"], row["measured_step_ms"]) == (2, 16, 10.13)
    assert abs(row["error_percent"]) < 5


def test_what_a_message_holds_up_is_what_another_run_says() -> None:
    """3 060 images/s, row 12 of what was tried; one GPU's step at that batch from a third run, that along area."""
    (alone,) = [row["step_ms"] for row in growth_model.rows("growth-area-bf16-nhwc-pt211-h200") if row["width"] == 576]
    step = predict(fcn(), alone, 2)
    messages = sum(len(layer.early) for layer in fcn())
    assert (2 * 16 / 3.060 - step.derived_ms) / messages == pytest.approx(1000 * Machine().held_up, rel=0.005)


def test_backwards_share_is_what_prediction_leaves_of_a_step() -> None:
    """The network alone, forward, at batch 64, from prediction's table; the step from that along batches."""
    with (growth_model.PLACE / "predict-bf16-nhwc-pt211-h200.csv").open() as file:
        lines = [line.split(",") for line in file]
    (forward,) = [float(line[4]) for line in lines if line[:4] == ["160", "576", "64", "segkit"]]
    (step,) = [row["step_ms"] for row in growth_model.rows(growth_model.ALONE) if row["batch_per_gpu"] == 64]
    update = 1000 * UPDATE_BYTES * sum(layer.weights for layer in fcn()) / Machine().memory
    assert 1 - forward / (step - update) == pytest.approx(Machine().backward, abs=0.01)


def test_the_table_that_is_kept_is_the_models(tmp_path: Path) -> None:
    table = growth_model.kept()
    kept = growth_model.PLACE / f"{table.name}.csv"
    assert write_csv(table, tmp_path).read_text() == kept.read_text(), "python -m tests.growth_model"
    put(table, tmp_path)
    assert (tmp_path / "README.md").read_text() in (growth_model.PLACE / "README.md").read_text()


def test_the_smallest_batch_is_said_and_a_step_that_failed_is_left_empty() -> None:
    alone = [
        {"height": 160, "width": 576, "batch_per_gpu": batch, "gpus": 1, "step_ms": step}
        for batch, step in ((4, 4.0), (64, 27.5), (128, math.nan))
    ]
    table = model_table(fcn(), alone, [], "growth-model", "a GPU")
    assert "2 GPUs: efficiency of at least 0.9 from batch 64 on" in table.remarks
    assert all(math.isnan(row["step_ms"]) for row in table.rows if row["batch_per_gpu"] == 128)
    assert "2 GPUs: efficiency of at least 0.9 with none of these batches" in (
        model_table(fcn(), alone[:1], [], "growth-model", "a GPU").remarks
    )
