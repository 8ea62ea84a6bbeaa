"""The step for GPUs takes the steps that Lightning would take; on a GPU the recorded one does too."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer, seed_everything
from torch import Tensor, nn

from segkit.losses.cross_entropy import cross_entropy
from segkit.speed import cuda_graph_step
from segkit.speed.cuda_graph_step import GpuStep
from segkit.speed.mixed_precision_adam import TwinAdam
from segkit.train.callbacks.seeding import EpochSeed
from segkit.train.task import SegmentationTask

CLASSES = [{"name": "background", "colour": None}, {"name": "road", "colour": [0, 255, 0]}]


class Batches:
    """Two of three pictures and one of two."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[dict[str, Any]]:
        generator = torch.Generator().manual_seed(1)
        for size in (3, 3, 2):
            image = torch.randint(0, 256, (size, 3, 32, 32), generator=generator, dtype=torch.uint8)
            yield {"image": image, "label": (image[:, 0] > 100).byte()}


def trained(
    epochs: int, checkpoint: Path | None = None, callback: EpochSeed | None = None, **rest: Any
) -> tuple[SegmentationTask, Trainer]:
    seed_everything(0, verbose=False)
    task = SegmentationTask(CLASSES, [32, 32], fc_channels=4, learning_rate=1e-3, schedule="cosine", warmup=0.5)
    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False
    )
    trainer = Trainer(max_epochs=epochs, accelerator="cpu", callbacks=[callback or EpochSeed(0)], **quiet, **rest)
    trainer.fit(task, Batches(), ckpt_path=checkpoint, weights_only=False)
    return task, trainer


@pytest.fixture
def steps_taken(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Has the step for GPUs used on the CPU, where nothing can be recorded, and collects its losses."""
    taken: list[Tensor] = []
    step = GpuStep.__call__

    def call(self: GpuStep, image: Tensor, label: Tensor) -> Tensor:
        taken.append(step(self, image, label))
        return taken[-1]

    monkeypatch.setattr(GpuStep, "__call__", call)
    monkeypatch.setattr(cuda_graph_step, "BEFORE_RECORDING", 10**9)
    monkeypatch.setattr(SegmentationTask, "_on_gpu", lambda self: True)
    return taken


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(mine, its) for mine, its in pairs)


@pytest.mark.parametrize("clip", [None, 0.5])
def test_lightnings_loop_comes_to_the_same_weights(steps_taken, monkeypatch, clip) -> None:
    ours, trainer = trained(2, gradient_clip_val=clip)
    assert len(steps_taken) == trainer.global_step == 6
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0)  # the schedule has gone to its end
    monkeypatch.undo()
    lightnings, plain = trained(2, gradient_clip_val=clip)
    assert plain.global_step == 6
    assert same(ours, lightnings)
    begun = SegmentationTask(CLASSES, [32, 32], fc_channels=4)
    assert not same(ours, begun)


def test_a_resumed_run_comes_to_the_weights_of_an_uncut_one(steps_taken, tmp_path) -> None:
    cut = tmp_path / "cut.ckpt"

    class Saved(EpochSeed):
        def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
            if trainer.current_epoch == 0:
                trainer.save_checkpoint(cut)

    whole, _ = trained(2, callback=Saved(0))
    del steps_taken[:]
    resumed, _ = trained(2, checkpoint=cut)
    assert len(steps_taken) == 3
    assert same(resumed, whole)


def test_a_class_with_a_loss_of_its_own_trains_lightnings_way(steps_taken, monkeypatch) -> None:
    def build_loss(self: SegmentationTask) -> Any:
        return lambda logits, label: cross_entropy(logits, label) * 2

    own = type("Own", (SegmentationTask,), {"build_loss": build_loss})
    monkeypatch.setattr(f"{__name__}.SegmentationTask", own)
    trained(1)
    assert steps_taken == []


def test_what_is_frozen_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graph_step, "HELD_TWICE_FROM", 1)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1))
    network[0].requires_grad_(False)
    optimizer = TwinAdam(network.parameters(), lr=0.1)
    step = GpuStep(network, lambda *given: torch.zeros(()), lambda *given: torch.zeros(()), optimizer, True, None)
    assert sorted(step.twins) == ["1.bias", "1.weight"]


def losses_of(step: GpuStep, optimizer: TwinAdam, pictures: Sequence[Tensor]) -> list[float]:
    losses = []
    for number, image in enumerate(pictures):
        optimizer.param_groups[0]["lr"] = 1e-2 / (1 + number)
        losses.append(float(step(image, (image[:, 0] > 0).long())))
    return losses


@pytest.mark.skipif(not torch.cuda.is_available(), reason="recording needs a GPU")
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("clip", [None, 0.1])
def test_recorded_steps_are_the_steps_taken_one_by_one(monkeypatch, bf16: bool, clip: float | None) -> None:
    monkeypatch.setattr(cuda_graph_step, "HELD_TWICE_FROM", 64)
    torch.manual_seed(0)
    recorded = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 2, 1)).cuda()
    one_by_one = copy.deepcopy(recorded)
    pictures = [torch.randn(2 if number % 4 < 3 else 1, 3, 8, 8, device="cuda") for number in range(16)]
    found = []
    for network, before in ((recorded, 3), (one_by_one, 10**9)):
        monkeypatch.setattr(cuda_graph_step, "BEFORE_RECORDING", before)

        def loss(image: Tensor, label: Tensor, replaced: Any, network: nn.Module = network) -> Tensor:
            logits = torch.func.functional_call(network, dict(replaced), (image,))
            return nn.functional.cross_entropy(logits.float(), label)

        optimizer = TwinAdam(network.parameters(), lr=1e-2, fused=True)
        step = GpuStep(network, loss, loss, optimizer, bf16, clip)
        found.append(losses_of(step, optimizer, pictures))
        assert (step.graph is None) == (before > 3)
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    for mine, its in zip(recorded.parameters(), one_by_one.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-3)
