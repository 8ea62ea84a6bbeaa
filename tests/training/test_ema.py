"""The average of the weights: by hand, validated, in checkpoints, resumed to the bit."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from segkit.training.callbacks.ema import TRAINED, ExponentialMovingAverage
from segkit.training.checkpoints import checkpoint_callbacks
from tests.training.small_task import Task, equal, train, weights_of


def averages_by_hand(start: dict[str, Tensor], after_steps: list[dict[str, Tensor]], decay: float) -> list[dict]:  # type: ignore[type-arg]
    """In float64: the average after each step."""
    averages, average = [], {name: value.double() for name, value in start.items()}
    for step, weights in enumerate(after_steps, start=1):
        d = min(decay, (1 + step) / (10 + step))
        average = {name: d * value + (1 - d) * weights[name].double() for name, value in average.items()}
        average["encoder.1.num_batches_tracked"] = weights["encoder.1.num_batches_tracked"]
        averages.append(average)
    return averages


def close(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.allclose(one[name].double(), other[name].double(), rtol=1e-5, atol=1e-7) for name in one)


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_validation_is_of_the_average_and_training_goes_on_with_the_weights(decay: float, tmp_path: Path) -> None:
    plain, task = Task(), Task()
    start = weights_of(task.network)
    train(plain, tmp_path, 3)
    train(task, tmp_path, 3, ExponentialMovingAverage(decay))
    # The average changes nothing of what is learnt.
    assert all(equal(one, other) for one, other in zip(task.after_steps, plain.after_steps, strict=True))
    # Three batches an epoch, in training and in validation.
    by_hand = averages_by_hand(start, task.after_steps, decay)
    assert len(task.validated) == 9
    assert all(close(seen, by_hand[3 * (number // 3) + 2]) for number, seen in enumerate(task.validated))
    assert not close(task.validated[-1], task.after_steps[-1])
    assert close(weights_of(task.network), by_hand[-1])


def test_steps_of_several_batches_count_once(tmp_path: Path) -> None:
    task = Task()
    start = weights_of(task.network)
    train(task, tmp_path, 2, ExponentialMovingAverage(0.5), accumulate_grad_batches=2)
    assert len(task.after_steps) == 4  # of 2 and of 1 batch, in each epoch
    # Statistics move with every batch, and are averaged with every step.
    assert close(weights_of(task.network), averages_by_hand(start, task.after_steps, 0.5)[-1])


class AtAnyTime(Callback):
    """Saves weights alone in validation and between batches, as an interruption may."""

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, *rest) -> None:  # type: ignore[no-untyped-def]
        trainer.save_checkpoint(Path(trainer.default_root_dir, "during.ckpt"), weights_only=True)

    def on_train_batch_end(self, trainer: Trainer, module, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        trainer.save_checkpoint(Path(trainer.default_root_dir, "between.ckpt"), weights_only=True)


def test_every_checkpoint_holds_the_average_and_the_last_one_the_weights_too(tmp_path: Path) -> None:
    task = Task()
    train(task, tmp_path, 2, ExponentialMovingAverage(0.5), AtAnyTime(), *checkpoint_callbacks(tmp_path, None, 2))
    average = {f"network.{name}": value for name, value in weights_of(task.network).items()}
    for name in ("best", "last", "during", "between"):
        checkpoint = torch.load(tmp_path / f"{name}.ckpt", weights_only=True)
        assert equal(checkpoint["state_dict"], average), name
        assert (TRAINED in checkpoint) == (name == "last")
    trained = torch.load(tmp_path / "last.ckpt", weights_only=True)[TRAINED]
    assert equal(trained, {f"network.{name}": value for name, value in task.after_steps[-1].items()})
    assert equal(task.state_dict(), average)


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(tmp_path: Path) -> None:
    whole, first, second = Task(), Task(), Task()
    train(whole, tmp_path, 4, ExponentialMovingAverage(0.9))
    train(first, tmp_path, 2, ExponentialMovingAverage(0.9), *checkpoint_callbacks(tmp_path, None, 2))
    second.network.decoder.weight.data.fill_(9)  # all comes from the checkpoint
    train(second, tmp_path, 4, ExponentialMovingAverage(0.9), resume=tmp_path / "last.ckpt")
    for one, other in zip(whole.after_steps, first.after_steps + second.after_steps, strict=True):
        assert equal(one, other)
    assert equal(weights_of(whole.network), weights_of(second.network))


def test_a_run_without_an_average_can_go_on_with_one(tmp_path: Path) -> None:
    first, second = Task(), Task()
    train(first, tmp_path, 1, *checkpoint_callbacks(tmp_path, None, 1))
    train(second, tmp_path, 2, ExponentialMovingAverage(0.5), resume=tmp_path / "last.ckpt")
    start = first.after_steps[-1]
    assert second.validated
    average = {name: value.double() for name, value in start.items()}
    for step, weights in enumerate(second.after_steps, start=4):
        d = min(0.5, (1 + step) / (10 + step))
        average = {name: d * value + (1 - d) * weights[name] for name, value in average.items()}
    average["encoder.1.num_batches_tracked"] = second.after_steps[-1]["encoder.1.num_batches_tracked"]
    assert close(weights_of(second.network), average)


def test_weights_of_two_names_stay_one(tmp_path: Path) -> None:
    class Tied(Task):
        def __init__(self) -> None:
            super().__init__()
            self.again = self.network.decoder

    task = Tied()
    train(task, tmp_path, 2, ExponentialMovingAverage(0.5))
    assert torch.equal(task.state_dict()["again.weight"], task.state_dict()["network.decoder.weight"])
    plain = Task()
    train(plain, tmp_path, 2, ExponentialMovingAverage(0.5))
    assert equal(weights_of(task.network), weights_of(plain.network))
