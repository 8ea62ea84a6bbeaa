import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.errors import UserError
from segkit.models.trained import describe, read_checkpoint
from segkit.runs.find import find_checkpoint
from segkit.training import checkpoints
from segkit.training.checkpoints import AtomicCheckpointIO, checkpoint_callbacks, epochs_done


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A disk that is full after ``size`` bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1, "weights": torch.zeros(100)}, path)
    with (
        files_of_at_most(10_000),
        pytest.raises(UserError, match=r"last\.ckpt: could not be saved.*is kept.*Make room"),
    ):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2, "weights": torch.zeros(100_000)}, path)
    assert torch.load(path, weights_only=True)["epoch"] == 1
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_stands_for_its_best_checkpoint(tmp_path: Path) -> None:
    about = describe({"_target_": "mine.Network"}, [SegmentationClass("road", None)], PictureInput.of([32, 64]))
    content = {"state_dict": {"network.weight": torch.zeros(1)}, "segkit": {**about, "epoch": 3}}
    AtomicCheckpointIO().save_checkpoint(content, tmp_path / "checkpoints" / "best.ckpt")
    assert read_checkpoint(find_checkpoint(tmp_path, "checkpoint"), "checkpoint")["segkit"]["epoch"] == 3


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"checkpoint: .*missing\.ckpt does not exist"):
        find_checkpoint(tmp_path / "missing.ckpt", "checkpoint")
    with pytest.raises(UserError, match=r"best\.ckpt does not exist"):
        find_checkpoint(tmp_path, "checkpoint")

    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {}}, foreign)
    with pytest.raises(UserError, match=r"foreign\.ckpt was not written by segkit train"):
        read_checkpoint(foreign, "checkpoint")

    whole = foreign.read_bytes()
    for content in (b"", b"not a checkpoint", whole[: len(whole) // 2]):
        foreign.write_bytes(content)
        with pytest.raises(UserError, match=r"checkpoint: .*foreign\.ckpt is broken, or not a file of tensors"):
            read_checkpoint(foreign, "checkpoint")


def test_a_moved_run_keeps_its_best_checkpoint(tmp_path: Path) -> None:
    best, _ = checkpoint_callbacks(tmp_path / "old", "val/iou", max_epochs=3)
    best.best_model_path = best.kth_best_model_path = str(tmp_path / "old" / "best.ckpt")
    best.best_k_models = {best.best_model_path: torch.tensor(0.9)}
    best.best_model_score = best.kth_value = torch.tensor(0.9)
    moved, _ = checkpoint_callbacks(tmp_path / "new", "val/iou", max_epochs=3)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "best.ckpt").touch()
    moved.load_state_dict(best.state_dict())
    assert moved.best_model_path == str(tmp_path / "new" / "best.ckpt")
    trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    assert not moved.check_monitor_top_k(trainer, torch.tensor(0.8))
    assert moved.check_monitor_top_k(trainer, torch.tensor(0.95))


def test_a_best_checkpoint_that_is_not_there_is_chosen_anew(tmp_path: Path) -> None:
    best, _ = checkpoint_callbacks(tmp_path, "val/iou", max_epochs=2)
    path = tmp_path / "best.ckpt"
    best.best_k_models = {str(path): torch.tensor(0.9)}
    best.best_model_path, best.best_model_score = str(path), torch.tensor(0.9)
    path.touch()
    for there in (True, False):
        resumed, _ = checkpoint_callbacks(tmp_path, "val/iou", max_epochs=2)
        if not there:
            path.unlink()
        resumed.load_state_dict(best.state_dict())
        assert resumed.check_monitor_top_k(Trainer(logger=False), torch.tensor(0.5)) is not there
        assert (resumed.best_model_path == str(path)) is there


@pytest.mark.parametrize(("writing", "kept"), [(0.5, [2, 4, 6, 8, 10]), (2.0, [2, 7, 10])])
def test_what_takes_long_to_write_is_written_less_often(
    writing: float, kept: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs of ten seconds: after two of them, and after five (20 s times 2.0 / 0.8), and the final one."""
    now, epochs = [0.0], []
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def write(self: ModelCheckpoint, trainer: Any, module: Any) -> None:
        now[0] += writing
        epochs.append(trainer.current_epoch + 1)

    monkeypatch.setattr(ModelCheckpoint, "on_train_epoch_end", write)
    last = checkpoints.LastCheckpoint(tmp_path)
    strategy = SimpleNamespace(broadcast=lambda due: due)
    for epoch in range(10):
        now[0] += 10
        last.on_train_epoch_end(SimpleNamespace(max_epochs=10, current_epoch=epoch, strategy=strategy), None)  # type: ignore[arg-type]
    assert epochs == kept


def test_epochs_done(tmp_path: Path) -> None:
    assert epochs_done(tmp_path / "last.ckpt") == 0
    torch.save({"segkit": {"epoch": 4}}, tmp_path / "last.ckpt")
    assert epochs_done(tmp_path / "last.ckpt") == 4


@pytest.mark.parametrize(("monitor", "better", "worse"), [("val/loss", 0.1, 0.2), ("val/road/bev/MaxF", 90.0, 80.0)])
def test_losses_are_to_be_low_and_scores_high(monitor: str, better: float, worse: float, tmp_path: Path) -> None:
    best, _ = checkpoint_callbacks(tmp_path, monitor, max_epochs=3)
    trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    best.best_k_models = {"a": torch.tensor(worse)}
    best.kth_best_model_path = "a"
    assert best.check_monitor_top_k(trainer, torch.tensor(better))
    best.best_k_models = {"a": torch.tensor(better)}
    assert not best.check_monitor_top_k(trainer, torch.tensor(worse))
