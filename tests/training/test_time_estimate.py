"""How long training will take is said once, after the first steps."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from segkit.training.callbacks import time_estimate
from segkit.training.callbacks.time_estimate import TimeEstimate


def lines(
    epochs: int, steps: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rank: bool = True
) -> list[str]:
    """Of a run whose first 9 steps take 100 s each, all others 2 s, and what is between epochs 1000 s."""
    now, done = 0.0, 0
    monkeypatch.setattr(time_estimate.time, "perf_counter", lambda: now)
    callback, module = TimeEstimate(), SimpleNamespace(device=torch.device("cpu"))
    trainer: Any = SimpleNamespace(max_epochs=epochs, num_training_batches=steps, is_global_zero=rank)
    with caplog.at_level(logging.INFO):
        for epoch in range(epochs):
            now, trainer.current_epoch = now + 1000, epoch
            callback.on_train_epoch_start(trainer, module)  # type: ignore[arg-type]
            for step in range(steps):
                now, done = now + (100 if done < 9 else 2), done + 1
                callback.on_train_batch_end(trainer, module, None, None, step)  # type: ignore[arg-type]
    return [record.message for record in caplog.records]


@pytest.mark.parametrize(
    ("epochs", "steps", "expected"),
    [
        (10, 289, ["2871 steps to go: about 1 h 35 min, without validation"]),  # after step 19
        (3, 18, ["25 steps to go: about 50 s, without validation"]),  # after the eleventh step of the second epoch
        (50, 10, []),  # an epoch's line is there as soon
        (1, 25, []),  # nearly done
    ],
)
def test_the_time_of_the_steps_that_are_left(
    epochs: int, steps: int, expected: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert lines(epochs, steps, monkeypatch, caplog) == expected


def test_one_process_of_several_says_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert lines(10, 289, monkeypatch, caplog, rank=False) == []
