"""The step for GPUs in several processes: joined through gloo on the CPU."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.plugins.environments import TorchElasticEnvironment
from torch import Tensor, nn

from segkit.data.picture_input import PictureInput
from segkit.data.records import IGNORE_INDEX, SegmentationClass
from segkit.distributed.launch import launch
from segkit.losses.cross_entropy import CrossEntropy
from segkit.optim.recipe import Optimization
from segkit.speed import fast_functions, mixed_precision
from segkit.speed.recorded_step import RecordedStep
from segkit.training.ddp import DataParallel
from segkit.training.task import SegmentationTask
from tests.processes import call

CLASSES = [SegmentationClass("background", None), SegmentationClass("road", (0, 255, 0))]


class Halves:
    """Of the batches of four, this process's two pictures; all four in a process of its own."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[dict[str, Any]]:
        generator = torch.Generator().manual_seed(1)
        together = torch.distributed.is_initialized()
        part = slice(torch.distributed.get_rank(), None, 2) if together else slice(None)
        for _ in range(3):
            image = torch.randint(0, 256, (4, 3, 32, 32), generator=generator, dtype=torch.uint8)
            label = (image[:, 0] > 100).byte()
            label[0, :20] = IGNORE_INDEX
            yield {"image": image[part], "label": label[part]}


class Layers(nn.Module):
    """Two that are held twice, of which the second one's gradient is computed beside the rest, and one that is not.

    Of another one, which is used twice, one gradient comes from beside and one from autograd.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.layers = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Conv2d(16, 2, 1))

        self.both = nn.Conv2d(16, 16, 3, padding=1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        image = self.layers[:2](image / 255)
        image = self.both(image) + self.both(image.float())  # the latter is of a dtype that is not taken
        return self.layers[2:](image)


class Replay:
    """In the place of a CUDA graph: computes anew, after as many calls."""

    def __init__(self, function: Callable[..., Tensor], *inputs: Tensor) -> None:
        self.function = function
        for _ in range(3):
            function(*inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)

    def close(self) -> None:
        pass


class Own(SegmentationTask):
    """Overrides a hook that is empty in Lightning, as one may."""

    def on_train_start(self) -> None:
        pass


def train_halves(precision: Any, clip: float | None, whole_steps: bool) -> tuple[list[float], list[Tensor], bool, bool]:
    """In one of two processes: losses, weights, whether the other has the same, and whether steps were whole.

    With bf16 they are whole only where a weight is updated within backward.
    """
    RecordedStep.record, mixed_precision.LARGE = Replay, 256  # type: ignore[assignment]
    fast_functions._applies = lambda image, *dtypes: not dtypes and image.dtype == torch.bfloat16  # on the CPU too
    SegmentationTask.takes_whole_steps = lambda self: whole_steps  # type: ignore[method-assign]
    together = torch.distributed.is_initialized()
    seed_everything(torch.distributed.get_rank() if together else 0, verbose=False)  # rank 0's weights are to count
    optimization = Optimization(torch.optim.Adam, learning_rate=1e-2)
    task = Own(Layers(), CrossEntropy(), optimization, CLASSES, PictureInput.of([32, 32]))
    losses: list[float] = []
    wholes = []

    class Losses(Callback):
        def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, *rest: Any) -> None:
            losses.append(float(trainer.strategy.reduce(outputs["loss"], reduce_op="mean")))
            recorded = module.step is not None and module.step.recorded is not None
            early = recorded and (precision == "32-true" or len(module.step.beside.early) == 1)
            wholes.append(early if len(wholes) >= 3 else module.step is not None)

    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False
    )
    if together:
        quiet |= {"strategy": DataParallel(), "plugins": [TorchElasticEnvironment()]}
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        devices=2 if together else 1,
        precision=precision,
        gradient_clip_val=clip,
        callbacks=[Losses()],
        use_distributed_sampler=False,
        **quiet,
    )
    trainer.fit(task, Halves())
    weights = [weight.detach().clone() for weight in task.parameters()]
    alike = True
    for weight in weights if together else []:
        first = weight.clone()
        torch.distributed.broadcast(first, src=0)
        differs = torch.tensor(float(not torch.equal(first, weight)))
        torch.distributed.all_reduce(differs)
        alike = alike and not differs
    return losses, weights, alike, all(wholes)


@pytest.mark.parametrize(("precision", "clip"), [("32-true", 0.02), ("bf16-mixed", None)])
def test_two_processes_take_the_steps_of_one(monkeypatch, precision: str, clip: float | None) -> None:
    monkeypatch.setattr(RecordedStep, "record", RecordedStep.record)
    monkeypatch.setattr(mixed_precision, "LARGE", mixed_precision.LARGE)
    monkeypatch.setattr(fast_functions, "_applies", fast_functions._applies)
    monkeypatch.setattr(SegmentationTask, "takes_whole_steps", SegmentationTask.takes_whole_steps)
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # for the processes: they update on the CPU, beside a GPU too
    expected, weights, *_ = train_halves("32-true", clip, False)
    found, mine, alike, whole = call(launch, 2, train_halves, precision, clip, True, spawns=2)
    assert alike
    assert whole
    exact = precision == "32-true"
    assert found == pytest.approx(expected, rel=1e-5 if exact else 2e-2)
    if exact:
        for one, other in zip(mine, weights, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=2e-5)
