"""What an epoch's line and ``result.json`` say of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segkit.training.callbacks import progress
from segkit.training.callbacks.progress import EpochReport


def test_images_per_second_are_of_training_to_its_end_without_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    losses: Any = SimpleNamespace(last=1.0, epoch_losses=[1.0])
    report = EpochReport(losses, tmp_path, 2, "val/iou", {})
    trainer: Any = SimpleNamespace(
        world_size=1,
        num_val_batches=[3],
        check_val_every_n_epoch=2,
        callback_metrics={"val/iou": 0.5},
        logger=None,
        is_global_zero=False,
    )
    module: Any = None
    for epoch in range(2):
        now, trainer.current_epoch = 0.0, epoch
        report.on_train_epoch_start(trainer, module)
        now = 1.0  # the batch is sent to the device, which takes until 2.0
        report.on_train_batch_end(trainer, module, None, {"image": [0] * 8}, 0)
        now = 2.0
        if epoch == 1:
            report.on_validation_start(trainer, module)
            now = 10.0
        report.on_train_epoch_end(trainer, module)
    assert [epoch["images_per_second"] for epoch in report.epochs] == [4.0, 4.0]
    assert [epoch.get("val/iou") for epoch in report.epochs] == [None, 0.5]


def test_the_time_of_a_resumed_run_counts_from_its_first_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    losses: Any = SimpleNamespace()
    trainer: Any = SimpleNamespace(is_global_zero=False)
    saved: dict[str, Any] = {}
    for _ in range(3):
        report = EpochReport(losses, tmp_path, 2, "val/iou", {})
        if saved:
            report.load_state_dict(saved)
        now += 100.0  # between the runs
        report.on_train_start(trainer, None)  # type: ignore[arg-type]
        now += 10.0
        saved = report.state_dict()
    assert saved["seconds"] == 30.0
