"""The step for GPUs takes the steps that Lightning would take; whether it is recorded is found out by a trial."""

import copy
import inspect
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, Trainer, seed_everything
from torch import Tensor, nn

from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.optim.recipe import Optimization
from segkit.speed import mixed_precision, recorded_step, trial
from segkit.speed.averages import Averages
from segkit.speed.cuda_graph import CudaGraph
from segkit.speed.recorded_step import RecordedStep
from segkit.training.callbacks.ema import ExponentialMovingAverage
from segkit.training.callbacks.seeding import EpochSeed
from segkit.training.task import SegmentationTask

CLASSES = [SegmentationClass("background", None), SegmentationClass("road", (0, 255, 0))]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
needs_gpu = pytest.mark.skipif(DEVICE == "cpu", reason="recording needs a GPU")


class Replay:
    """A recording, as far as the CPU has one: numbers that modules hold in Python are those of the recording again."""

    def __init__(self, modules: list[nn.Module], function: Callable[..., Tensor], *inputs: Tensor) -> None:
        self.modules, self.function = modules, function
        for _ in range(3):
            function(*inputs)
        self.recorded = self._numbers()
        self.closed = False

    def _numbers(self) -> list[dict[str, Any]]:
        return [{k: v for k, v in vars(part).items() if isinstance(v, int | float)} for part in self.modules]

    def _set(self, numbers: list[dict[str, Any]]) -> None:
        for part, values in zip(self.modules, numbers, strict=True):
            vars(part).update(values)

    def __call__(self, *inputs: Tensor) -> Tensor:
        assert not self.closed
        now = self._numbers()
        self._set(self.recorded)
        result = self.function(*inputs)
        self._set(now)
        return result

    def close(self) -> None:
        self.closed = True


class Batches:
    """Two of three pictures and one of two."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[dict[str, Any]]:
        generator = torch.Generator().manual_seed(1)
        for size in (3, 3, 2):
            image = torch.randint(0, 256, (size, 3, 32, 32), generator=generator, dtype=torch.uint8)
            yield {"image": image, "label": (image[:, 0] > 100).byte()}


class Loss(nn.Module):
    """Cross-entropy, times what it was told, or more with each call."""

    def __init__(self, growth: float = 0) -> None:
        super().__init__()
        self.factor, self.growth = 1.0, growth

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        self.factor += self.growth
        return self.factor * F.cross_entropy(logits.float(), label.long())


class Small(nn.Module):
    """A network that trains in no time."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        self.score = nn.Sequential(nn.Dropout(0.2), nn.Conv2d(8, 2, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.score(self.layers(image / 255))


def a_task(loss: nn.Module | None = None) -> SegmentationTask:
    optimization = Optimization(torch.optim.Adam, learning_rate=1e-3, schedule="cosine", warmup=0.5)
    return SegmentationTask(Small(), loss or Loss(), optimization, CLASSES, PictureInput.of([32, 32]))


def trained(
    epochs: int,
    checkpoint: Path | None = None,
    callback: EpochSeed | None = None,
    loss: nn.Module | None = None,
    others: Sequence[Callback] = (),
    **rest: Any,
) -> tuple[SegmentationTask, Trainer]:
    seed_everything(0, verbose=False)
    task = a_task(loss)
    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False
    )
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[callback or EpochSeed(0), *others], **quiet, **rest
    )
    trainer.fit(task, Batches(), ckpt_path=checkpoint, weights_only=False)
    return task, trainer


@pytest.fixture
def steps_taken(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Has the step for GPUs used on the CPU, with `Replay` for a recording, and collects its losses."""
    taken: list[Tensor] = []
    step = RecordedStep.__call__

    def call(self: RecordedStep, image: Tensor, label: Tensor) -> Tensor:
        taken.append(step(self, image, label))
        return taken[-1]

    monkeypatch.setattr(RecordedStep, "__call__", call)
    monkeypatch.setattr(RecordedStep, "record", staticmethod(lambda *what: Replay([], *what)))
    monkeypatch.setattr(SegmentationTask, "_on_gpu", lambda self: True)
    return taken


def differing(one: nn.Module, other: nn.Module) -> dict[str, float]:
    """Largest difference of each tensor that is not the same."""
    theirs = other.state_dict()
    return {
        name: float((mine - theirs[name]).abs().max())
        for name, mine in one.state_dict().items()
        if not torch.equal(mine, theirs[name])
    }


@pytest.mark.parametrize("clip", [None, 0.5])
def test_lightnings_loop_comes_to_the_same_weights(steps_taken, monkeypatch, clip) -> None:
    ours, trainer = trained(2, gradient_clip_val=clip)
    assert len(steps_taken) == trainer.global_step == 6
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0)  # the schedule has gone to its end
    monkeypatch.undo()
    lightnings, plain = trained(2, gradient_clip_val=clip)
    assert plain.global_step == 6
    assert differing(ours, lightnings) == {}
    assert differing(ours, a_task())


def test_an_average_is_that_of_lightnings_loop(steps_taken, monkeypatch) -> None:
    updated: list[Averages] = []
    update = Averages.update
    monkeypatch.setattr(Averages, "update", lambda self, done: (updated.append(self), update(self, done))[1])
    ours, _ = trained(3, others=[ExponentialMovingAverage(0.6)])
    assert len(updated) > 3  # it is part of the steps that are recorded, and of those of other shapes
    monkeypatch.undo()
    lightnings, _ = trained(3, others=[ExponentialMovingAverage(0.6)])
    for name, value in lightnings.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-5, atol=1e-7)
    without, _ = trained(3)
    assert "network.layers.0.weight" in differing(ours, without)


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
    assert differing(resumed, whole) == {}


class Squares(nn.Module):
    """A loss of one's own."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return (logits.float().softmax(1)[:, 1] - label).square().mean()


def test_a_loss_of_ones_own_gets_the_recorded_step(steps_taken, caplog) -> None:
    with caplog.at_level(logging.INFO):
        trained(2, loss=Squares())
    assert len(steps_taken) == 6
    assert told(caplog) == ["fast step: recorded (3 layers fused)"]


class Hidden:
    """A counter where nobody looks for one."""

    calls = 0


def a_network(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), *layers, nn.Conv2d(8, 2, 1)).to(DEVICE)


def an_optimizer(kind: Any, network: nn.Module, **rest: Any) -> torch.optim.Optimizer:
    """As `Optimization` builds it. SGD's other kernels take the rate from the GPU to Python, which is not recorded."""
    fused = {"fused": True} if DEVICE == "cuda" and "fused" in inspect.signature(kind).parameters else {}
    return kind(network.parameters(), **rest, **fused)


def a_step(
    network: nn.Module, loss: Any = None, optimizer: Any = None, bf16: bool = False, clip: float | None = None
) -> RecordedStep:
    """Recorded as a CUDA graph, on the CPU by `Replay`."""
    loss = loss or Loss()

    def compute_loss(image: Tensor, label: Tensor, replaced: Any) -> Tensor:
        return loss(torch.func.functional_call(network, dict(replaced), (image,)), label)

    modules = [part for whole in (network, loss) for part in whole.modules()]
    optimizer = optimizer or an_optimizer(torch.optim.SGD, network, lr=0.1, momentum=0.9)
    step = RecordedStep(network, compute_loss, compute_loss, optimizer, bf16, clip, loss=loss)
    if DEVICE == "cpu":
        step.record = lambda *what: Replay(modules, *what)
    return step


def batches(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    images = [torch.randn(size, 3, 8, 8, generator=generator).to(DEVICE) for size in sizes]
    return [(image, (image[:, 0] > 0).long()) for image in images]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.message.startswith("fast step")]


def plain_steps(network: nn.Module, taken: list[tuple[Tensor, Tensor]], optimizer: Any, loss: Any) -> list[float]:
    """Losses of steps as a training loop takes them."""
    losses = []
    for image, label in taken:
        optimizer.zero_grad()
        value = loss(network(image), label)
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    return losses


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_no_step_is_lost_or_taken_twice_for_the_trial(kind, caplog) -> None:
    network = a_network(nn.BatchNorm2d(8), nn.Dropout(0.5))
    other = copy.deepcopy(network)
    optimizer, reference = (an_optimizer(kind, each, lr=1e-2) for each in (network, other))
    step, taken = a_step(network, optimizer=optimizer), batches(2, 2, 1, 2, 2, 1, 2)
    torch.manual_seed(3)
    with caplog.at_level(logging.INFO):
        losses = [float(step(*batch)) for batch in taken]
    torch.manual_seed(3)
    assert losses == pytest.approx(plain_steps(other, taken, reference, Loss()), rel=1e-5 if DEVICE == "cpu" else 1e-3)
    assert told(caplog) == ["fast step: recorded (2 layers fused)"]
    for mine, its in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5 if DEVICE == "cpu" else 1e-3)


def test_a_training_in_which_rounding_grows_from_step_to_step_is_recorded(caplog) -> None:
    """Each step is tried from the plain one's values: two steps on, the losses have nothing to do with each other."""
    network, taken = a_network(), batches(2, 2, 2, 2)
    optimizer = an_optimizer(torch.optim.SGD, network, lr=3e3)
    step = a_step(network, optimizer=optimizer)
    plain = step.compute_loss
    step.fast_loss = lambda image, label, replaced: plain(1.001 * image, label, replaced)
    other = copy.deepcopy(network)
    rounded = [(1.001 * image, label) for image, label in taken]
    losses, others = (
        plain_steps(each, seen, an_optimizer(torch.optim.SGD, each, lr=3e3), Loss())
        for each, seen in ((copy.deepcopy(other), taken), (other, rounded))
    )
    assert trial.loss_differs(losses[2], others[2], bf16=False)
    with caplog.at_level(logging.INFO):
        assert [float(step(*batch)) for batch in taken][:3] == pytest.approx(losses[:3], rel=1e-3)
    assert told(caplog) == ["fast step: recorded (2 layers fused)"]


@pytest.mark.parametrize("rooms", [(True, False, True), (False, True, True), (False, False, False)])
def test_copies_may_lie_on_the_gpu_or_beside_it(rooms, monkeypatch, caplog) -> None:
    network = a_network(nn.BatchNorm2d(8))
    other, taken, asked = copy.deepcopy(network), batches(2, 2, 2, 2, 2), iter(rooms)
    monkeypatch.setattr(trial, "has_room", lambda tensors, device: next(asked))
    step = a_step(network, optimizer=an_optimizer(torch.optim.Adam, network, lr=1e-2))
    with caplog.at_level(logging.INFO):
        losses = [float(step(*batch)) for batch in taken]
    assert told(caplog) == ["fast step: recorded (2 layers fused)"]
    assert not list(asked)
    reference = an_optimizer(torch.optim.Adam, other, lr=1e-2)
    assert losses == pytest.approx(plain_steps(other, taken, reference, Loss()), rel=1e-5 if DEVICE == "cpu" else 1e-3)


def test_a_copy_takes_at_most_an_eighth_of_the_free_memory(monkeypatch) -> None:
    held = [SimpleNamespace(is_cuda=True, nbytes=60), SimpleNamespace(is_cuda=True, nbytes=40)]
    beside = SimpleNamespace(is_cuda=False, nbytes=1000)
    for free, room in ((800, True), (799, False)):
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda device, free=free: (free, 10_000))
        assert trial.has_room([*held, beside], torch.device("cuda")) is room  # type: ignore[list-item]


def test_a_network_with_another_decoder_is_tried(caplog) -> None:
    network = a_network()
    network[2] = nn.Sequential(nn.Conv2d(8, 4, 1), nn.Tanh(), nn.ConvTranspose2d(4, 2, 1)).to(DEVICE)
    step = a_step(network)
    with caplog.at_level(logging.INFO):
        for batch in batches(2, 2, 2, 2):
            step(*batch)
    assert told(caplog) == ["fast step: recorded (2 layers fused)"]


class Stray(nn.Module):
    """A layer that a recording would get wrong, in ways of its own."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.seen: list[float] = []
        self.register_buffer("kept", torch.zeros(()))

    def forward(self, image: Tensor) -> Tensor:
        if self.way == "list":
            self.seen.append(1.0)
        if self.way == "python":
            random.random()
        if self.way == "buffer":
            self.kept = self.kept + 1
        if self.way == "hidden":
            Hidden.calls += 1
            return image * (1 + 0.2 * Hidden.calls)
        return image


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("list", "network.2.seen changes from step to step"),
        ("python", "random numbers are drawn on the CPU, which a recorded step would repeat"),
        ("buffer", "network.2.kept is replaced at every step, not changed in its place"),
    ],
)
def test_what_a_recording_would_get_wrong_is_refused(way: str, reason: str, caplog) -> None:
    network = a_network(Stray(way))
    other = copy.deepcopy(network)
    step, taken = a_step(network), batches(2, 2, 2, 2, 2)
    with caplog.at_level(logging.INFO):
        losses = [float(step(*batch)) for batch in taken]
    assert told(caplog) == [f"fast step: off, {reason}"]
    reference = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    assert losses == pytest.approx(plain_steps(other, taken, reference, Loss()), rel=1e-5)
    assert type(network[0]) is nn.Conv2d  # what was swapped is back


def test_a_loss_with_a_python_counter_is_refused(caplog) -> None:
    network = a_network()
    other = copy.deepcopy(network)
    step, taken = a_step(network, Loss(growth=1e-6)), batches(2, 2, 2, 2)  # too little to be seen in the losses
    with caplog.at_level(logging.INFO):
        losses = [float(step(*batch)) for batch in taken]
    assert told(caplog) == ["fast step: off, loss.factor changes from step to step"]
    reference = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    assert losses == pytest.approx(plain_steps(other, taken, reference, Loss(1e-6)), rel=1e-6)


def test_a_counter_where_nobody_looks_shows_in_the_losses(monkeypatch, caplog) -> None:
    monkeypatch.setattr(Hidden, "calls", 0)
    step = a_step(a_network(Stray("hidden")))
    with caplog.at_level(logging.INFO):
        for batch in batches(2, 2, 2, 2):
            step(*batch)
    (line,) = told(caplog)
    assert line.startswith("fast step: off, the recorded loss ")
    assert "differs from the plain step's" in line


@pytest.mark.parametrize("fault", ["not updated", "updated twice", "one weight left out"])
def test_other_updates_are_refused(fault: str, caplog) -> None:
    network = a_network()

    class Faulty(Replay):
        def __call__(self, *inputs: Tensor) -> Tensor:
            before = copy.deepcopy(network.state_dict())
            result = super().__call__(*inputs)
            if fault == "updated twice":
                super().__call__(*inputs)
            elif fault == "not updated":
                network.load_state_dict(before)
            else:
                network[2].bias.data.copy_(before["2.bias"])
            return result

    step = a_step(network)
    step.record = lambda *what: Faulty([], *what)
    step.optimizer.param_groups[0]["lr"] = 1e-3  # so that two steps' losses tell nothing
    with caplog.at_level(logging.INFO):
        for batch in batches(2, 2, 2, 2):
            step(*batch)
    (line,) = told(caplog)
    assert line.startswith("fast step: off, the recorded step ")


def test_a_hook_is_not_passed_over(caplog) -> None:
    network = a_network()
    seen = []
    network[1].register_forward_hook(lambda *given: seen.append(given))
    step = a_step(network)
    with caplog.at_level(logging.INFO):
        for batch in batches(2, 2, 2, 2, 2):
            step(*batch)
    assert told(caplog) == ["fast step: off, network.1 has a hook, which a recorded step does not call"]
    assert len(seen) == 5


def test_what_fails_to_be_recorded_leaves_plain_steps(caplog) -> None:
    def fail(function: Any, *inputs: Tensor) -> Any:
        function(*inputs)
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand more")

    network = a_network()
    other = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    step, taken = a_step(network, optimizer=optimizer), batches(2, 2, 2, 2, 2)
    step.record = fail
    with caplog.at_level(logging.INFO):
        losses = [float(step(*batch)) for batch in taken]
    reason = "RuntimeError: CUDA error: operation not permitted when stream is capturing"
    assert told(caplog) == [f"fast step: off, recording failed ({reason})"]
    reference = torch.optim.Adam(other.parameters(), lr=1e-2)
    assert losses == pytest.approx(plain_steps(other, taken, reference, Loss()), rel=1e-5)
    assert optimizer.param_groups[0]["lr"] == 1e-2


def test_shapes_that_never_repeat_are_not_waited_for(caplog) -> None:
    step = a_step(a_network())
    with caplog.at_level(logging.INFO):
        for batch in batches(*range(1, 13)):
            step(*batch)
    assert told(caplog) == ["fast step: off, batches are of too many shapes"]


def test_layers_are_not_fused_where_a_map_is_taken_from_between_them(caplog) -> None:
    class Between(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))

        def forward(self, image: Tensor) -> Tensor:
            taken = image
            for layer in list(self.layers)[:2]:
                taken = layer(taken)
            return F.interpolate(taken, image.shape[-2:])

    torch.manual_seed(0)
    network = Between().to(DEVICE)
    step = a_step(network)
    with caplog.at_level(logging.INFO):
        for batch in batches(2, 2, 2, 2):
            step(*batch)
    assert told(caplog) == ["fast step: recorded"]
    assert type(network.layers[0]) is nn.Conv2d


def test_what_is_frozen_later_is_recorded_anew(caplog) -> None:
    network = a_network()
    step, taken = a_step(network), batches(*[2] * 8)
    with caplog.at_level(logging.INFO):
        for batch in taken[:4]:
            step(*batch)
        network[0].requires_grad_(False)
        step.forget()
        held, moving = network[0].weight.clone(), network[2].weight.clone()
        for batch in taken[4:]:
            step(*batch)
    assert len(told(caplog)) == 2
    assert torch.equal(network[0].weight, held)
    assert not torch.equal(network[2].weight, moving)


def test_other_settings_of_the_loss_are_seen(monkeypatch, caplog) -> None:
    monkeypatch.setattr(recorded_step, "LASTING", 2)
    loss = Loss()
    step, batch = a_step(a_network(), loss), batches(2)[0]
    step.optimizer.param_groups[0]["lr"] = 1e-3  # with a loss a hundred times as large it is to stay in bounds
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            before = float(step(*batch))
        loss.factor = 100.0
        assert float(step(*batch)) > 10 * before
        for _ in range(3):
            step(*batch)
        loss.factor = 1.0
        assert float(step(*batch)) < 10 * before
    recorded = "fast step: recorded (2 layers fused)"
    assert told(caplog) == [recorded, recorded, "fast step: off, loss.factor changes all the time"]


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize("clip", [None, 0.1])
def test_steps_with_weights_held_twice_are_the_steps_of_autocast(monkeypatch, kind, clip, caplog) -> None:
    pytest.importorskip("triton", reason="Triton comes with torch's CUDA builds alone")
    monkeypatch.setattr(mixed_precision, "LARGE", 16)
    network = a_network()
    other = copy.deepcopy(network)
    optimizer, reference = (an_optimizer(kind, each, lr=1e-2) for each in (network, other))
    step = a_step(network, optimizer=optimizer, bf16=True, clip=clip)
    with caplog.at_level(logging.INFO):
        for number, (image, label) in enumerate(batches(2, 2, 2, 2, 1, 2, 2)):
            for its in (optimizer, reference):
                its.param_groups[0]["lr"] = 1e-2 / (1 + number)
            with torch.autocast(DEVICE, torch.bfloat16):
                expected = F.cross_entropy(other(image).float(), label)
            reference.zero_grad()
            expected.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(other.parameters(), clip)
            reference.step()
            torch.testing.assert_close(step(image, label), expected.detach(), rtol=0, atol=2e-3)
    assert told(caplog) == ["fast step: recorded (bf16 weights held twice, 2 layers fused)"]
    assert sorted(step.weights.copies) == ["0.weight", "2.weight"]
    # They have gone up to 0.03. The interpreter rounds towards zero, and Adam makes much of small differences.
    for mine, its in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-2)


@needs_gpu
@pytest.mark.parametrize("way", ["item", "nonzero", "counter"])
def test_on_a_gpu_too_a_step_that_cannot_be_recorded_stays_plain(way: str, caplog) -> None:
    """Waiting for the GPU cannot be recorded; random numbers and memory are in order afterwards."""

    class Waits(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            if way == "item":
                return image * (2 if float(image.detach().mean()) > 1e9 else 1)
            if way == "nonzero":
                return image + 0 * image.detach().nonzero().sum()
            Hidden.calls += 1
            return image * (1 + 0.2 * Hidden.calls)

    step = a_step(a_network(Waits(), nn.Dropout(0.5)))
    with caplog.at_level(logging.INFO):
        for batch in batches(*[2] * 6):
            assert float(step(*batch)) > 0
    (line,) = told(caplog)
    assert line.startswith("fast step: off, " + ("the recorded loss" if way == "counter" else "recording failed"))
    torch.cuda.empty_cache()


@needs_gpu
def test_a_recording_that_breaks_off_leaves_random_numbers_and_memory_in_order() -> None:
    calls = []

    def breaks(image: Tensor) -> Tensor:
        calls.append(image)
        result = F.dropout(image)
        if torch.cuda.is_current_stream_capturing():
            float(result.sum())
        return result

    with pytest.raises(RuntimeError):
        CudaGraph(breaks, torch.ones(8, device="cuda"))
    assert len(calls) == 4
    assert not torch.cuda.is_current_stream_capturing()
    assert F.dropout(torch.ones(1000, device="cuda")).any()
    del calls[:]
    torch.cuda.empty_cache()
    doubled = CudaGraph(lambda image: image * 2, torch.ones(3, device="cuda"))
    assert doubled(torch.full((3,), 4.0, device="cuda")).tolist() == [8, 8, 8]
