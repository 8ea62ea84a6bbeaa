"""Losses that are read a block late are all read, in order, and checked."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from segkit.training.callbacks.step_losses import NonFiniteLossError, StepLosses


class FakeTrainer(SimpleNamespace):
    """A trainer on one device in its second epoch of five batches."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, float]] = []
        logger = SimpleNamespace(log_metrics=lambda shown, step: self.logged.append((step, shown["train/loss"])))
        super().__init__(
            logger=logger,
            current_epoch=1,
            num_training_batches=5,
            accumulate_grad_batches=1,
            optimizers=[SimpleNamespace(param_groups=[{"lr": 0.5}])],
            strategy=SimpleNamespace(reduce=lambda losses, reduce_op: losses),
        )


def after(losses: list[float], block: int) -> tuple[StepLosses, Any]:
    callback, trainer = StepLosses(block), FakeTrainer()
    elsewhere: Any = SimpleNamespace(device=torch.device("cuda"))  # where losses are read by the block
    callback.on_train_epoch_start(trainer, elsewhere)  # type: ignore[arg-type]
    for number, loss in enumerate(losses):
        callback.on_train_batch_start(trainer, elsewhere, None, number)  # type: ignore[arg-type]
        outputs = {"loss": torch.tensor(loss)}
        callback.on_train_batch_end(trainer, elsewhere, outputs, None, number)  # type: ignore[arg-type]
    return callback, trainer


def test_a_block_is_read_when_the_next_is_sent_and_the_rest_when_asked_for() -> None:
    callback, trainer = after([1, 2, 3, 4, 5], block=2)
    assert callback.epoch_losses == [1, 2]
    callback.fetch(trainer)
    assert callback.epoch_losses == [1, 2, 3, 4, 5]
    assert trainer.logged == [(6, 1), (7, 2), (8, 3), (9, 4), (10, 5)]
    callback.fetch(trainer)
    assert len(trainer.logged) == 5


def test_a_loss_that_is_not_finite_is_found_in_a_block_that_is_on_its_way() -> None:
    callback, trainer = after([1, float("nan"), 3], block=2)
    with pytest.raises(NonFiniteLossError, match=r"the loss is nan at step 7(.|\n)*learning_rate .now 0.5"):
        callback.fetch(trainer)
