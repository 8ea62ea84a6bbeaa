"""What is frozen stays to the bit, learns from the epoch on, and does so in a resumed run too."""

from pathlib import Path

import pytest
import torch
from torch import nn

from segkit.distributed.launch import launch
from segkit.errors import UserError
from segkit.training.callbacks.ema import ExponentialMovingAverage
from segkit.training.callbacks.freezing import Freezing, begin_momentum
from segkit.training.callbacks.sync_batchnorm_stats import SharedStatistics
from segkit.training.checkpoints import checkpoint_callbacks
from tests.processes import call
from tests.training.small_task import Task, alike, equal, train, weights_of


def part(weights: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in weights.items() if key.startswith(name)}


def test_frozen_weights_and_statistics_stay_to_the_bit(tmp_path: Path) -> None:
    task = Task()
    start = weights_of(task.network)
    train(task, tmp_path, 2, Freezing(["encoder"]))
    assert len(task.after_steps) == 6
    for weights in task.after_steps:
        assert equal(part(weights, "encoder"), part(start, "encoder"))
    assert not torch.equal(task.after_steps[0]["decoder.weight"], start["decoder.weight"])
    assert not task.forgotten


def test_a_part_of_a_part(tmp_path: Path) -> None:
    task = Task()
    start = weights_of(task.network)
    train(task, tmp_path, 1, Freezing(["encoder.1", "decoder"]))
    end = task.after_steps[-1]
    assert equal(part(end, "encoder.1"), part(start, "encoder.1"))
    assert equal(part(end, "decoder"), part(start, "decoder"))
    assert not torch.equal(end["encoder.0.weight"], start["encoder.0.weight"])


def test_it_learns_after_so_many_epochs(tmp_path: Path) -> None:
    task = Task()
    start = weights_of(task.network)
    train(task, tmp_path, 3, Freezing(["encoder"], unfreeze_at=2))
    assert equal(part(task.after_steps[5], "encoder"), part(start, "encoder"))
    learning = task.after_steps[6]
    assert not torch.equal(learning["encoder.0.weight"], start["encoder.0.weight"])
    assert learning["encoder.1.num_batches_tracked"] == 1
    assert task.forgotten == 1


@pytest.mark.parametrize("fused", [False, True])
def test_sgd_goes_on_with_weights_that_begin_late(fused: bool) -> None:
    """Its fused kernel, which segkit asks for on GPUs, knows no weight without momentum among others that have it."""
    torch.manual_seed(0)
    start = [torch.randn(3), torch.randn(3)]

    def steps(optimizer: torch.optim.SGD, begin: bool) -> None:
        early, late = optimizer.param_groups[0]["params"]
        for number in range(5):
            if number == 2 and begin:
                begin_momentum(optimizer)
            early.grad, late.grad = early.detach().clone(), late.detach().clone() if number >= 2 else None
            optimizer.step()

    found = [nn.Parameter(value.clone()) for value in start]
    expected = [nn.Parameter(value.clone()) for value in start]
    steps(torch.optim.SGD(found, 0.1, momentum=0.9, fused=fused), True)
    steps(torch.optim.SGD(expected, 0.1, momentum=0.9, foreach=False), False)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("until", [1, 2, 3])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(until: int, tmp_path: Path) -> None:
    whole, first, second = Task(), Task(), Task()
    train(whole, tmp_path, 4, Freezing(["encoder"], unfreeze_at=2))
    train(first, tmp_path, until, Freezing(["encoder"], unfreeze_at=2), *checkpoint_callbacks(tmp_path, None, until))
    train(second, tmp_path, 4, Freezing(["encoder"], unfreeze_at=2), resume=tmp_path / "last.ckpt")
    for one, other in zip(whole.after_steps, first.after_steps + second.after_steps, strict=True):
        assert equal(one, other)


def test_what_was_fixed_before_stays_so(tmp_path: Path) -> None:
    task = Task()
    task.network.encoder[0].bias.requires_grad_(False)  # type: ignore[union-attr, operator]
    start = weights_of(task.network)
    train(task, tmp_path, 2, Freezing(["encoder"], unfreeze_at=1))
    assert torch.equal(task.after_steps[-1]["encoder.0.bias"], start["encoder.0.bias"])


def train_together(folder: Path) -> tuple[list[dict[str, torch.Tensor]], bool]:
    task = Task()
    callbacks = SharedStatistics(), Freezing(["encoder"], unfreeze_at=2), ExponentialMovingAverage(0.5)
    train(task, folder, 4, *callbacks)
    return task.after_steps, alike(task)


def test_several_processes_exchange_the_gradients_of_what_learns_again(tmp_path: Path) -> None:
    steps, same = call(launch, 2, train_together, tmp_path, spawns=2)
    assert same
    start = weights_of(Task().network)
    assert equal(part(steps[5], "encoder"), part(start, "encoder"))
    assert not torch.equal(steps[-1]["encoder.0.weight"], start["encoder.0.weight"])


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (["neck"], r"trainer\.freeze: the network has no part 'neck'; it has encoder, decoder"),
        (["encodre"], r"no part 'encodre'; it has encoder, decoder; did you mean encoder\?"),
        (["encoder.features"], r"no part 'encoder\.features'; it has encoder\.0, encoder\.1"),
        (["decoder.weight"], r"no part 'decoder\.weight'; it has no parts"),
        (["encoder", "decoder"], r"nothing is left to train"),
    ],
)
def test_mistakes_are_answered(freeze: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train(Task(), tmp_path, 1, Freezing(freeze))
