from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torchmetrics import Metric

from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.losses.cross_entropy import CrossEntropy
from segkit.models.fcn import FCN
from segkit.optim.recipe import Optimization
from segkit.training import task as tasks
from segkit.training.task import SegmentationTask

CLASSES = [SegmentationClass("background", None, background=True), SegmentationClass("road", (0, 255, 0))]


def small_task(*metrics: Metric, window: str = "sliding") -> SegmentationTask:
    torch.manual_seed(0)
    network = FCN(2, encoder="vgg16_bn", fc_channels=8)
    shown = PictureInput.of([32, 64], window=window)  # type: ignore[arg-type]
    return SegmentationTask(network, CrossEntropy(), Optimization(torch.optim.Adam), CLASSES, shown, metrics)


def test_validation_scores_at_each_pictures_own_size_whatever_the_batches() -> None:
    task = small_task().eval()
    with torch.no_grad():
        for name, kernel in task.network.decoder.named_parameters():  # no two pictures have the same loss then
            kernel *= 30 if name.endswith("weight") else 1
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (3, 3, 32, 64), dtype=torch.uint8, generator=generator)
    sizes = [(50, 90), (47, 101), (32, 64)]
    labels = [torch.randint(0, 2, size, dtype=torch.uint8, generator=generator) for size in sizes]
    labels[1][:20] = 255

    def scores(batches: list[list[int]]) -> dict[str, float]:
        task.on_validation_epoch_start()
        task.metrics.reset()
        with torch.no_grad():
            for batch in batches:
                rest = {"context": [{}] * len(batch)}
                task.validation_step({"image": images[batch], "label": [labels[i] for i in batch], **rest}, 0)
        return task.scores()

    # The same by hand: all scored pixels of all pictures laid end to end.
    with torch.no_grad():
        own = [
            F.interpolate(task.network(images[i : i + 1]), size=size, mode="bilinear")[0].flatten(1)
            for i, size in enumerate(sizes)
        ]
    logits = torch.cat(own, dim=1)
    label = torch.cat([one.flatten() for one in labels])
    scored = label != 255
    predicted, label, logits = logits.argmax(0)[scored], label[scored].long(), logits[:, scored]
    intersection = ((predicted == 1) & (label == 1)).sum()
    union = ((predicted == 1) | (label == 1)).sum()
    together = scores([[0, 1, 2]])
    assert together["iou"] == pytest.approx(float(intersection / union))
    assert together["accuracy"] == pytest.approx(float((predicted == label).float().mean()))
    assert together["loss"] == pytest.approx(float(F.cross_entropy(logits.T, label)), rel=1e-5)
    assert scores([[2], [1, 0]]) == pytest.approx(together, rel=1e-5)


class PerClass(Metric):
    """A vector per class, another vector, a matrix and a number below a name of its own."""

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        pass

    def compute(self) -> dict[str, Any]:
        return {"recall": torch.tensor([0.5, 1.0]), "curve": [1, 2, 3], "pairs": {"a": torch.eye(2)}}


def test_metrics_of_any_shape_are_logged_and_accuracy_need_not_be_there() -> None:
    task = small_task(PerClass()).eval()
    del task.metrics["ClassScores"]
    names = [
        "loss",
        "recall/background",
        "recall/road",
        "curve/0",
        "curve/1",
        "curve/2",
        "pairs/a/background/background",
    ]
    assert task.score_names({})[:7] == names
    task.on_validation_epoch_start()
    image, label = torch.zeros(1, 3, 32, 64, dtype=torch.uint8), torch.ones(32, 64, dtype=torch.uint8)
    task.validation_step({"image": image, "label": [label], "context": [{}]}, 0)
    scores = task.scores()
    assert (scores["recall/road"], scores["curve/2"], scores["pairs/a/road/road"]) == (1.0, 3.0, 1.0)


@pytest.mark.parametrize("window", ["sliding", "whole"])
def test_pictures_of_different_sizes_are_shown_whole_or_through_the_window(window: str) -> None:
    task = small_task(window=window).eval()
    shapes: list[tuple[int, ...]] = []
    task.network.register_forward_pre_hook(lambda module, given: shapes.append(tuple(given[0].shape[2:])))
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((40, 90), (32, 64))]
    labels = [torch.ones(80, 180, dtype=torch.uint8), torch.ones(32, 64, dtype=torch.uint8)]
    task.on_validation_epoch_start()
    with torch.no_grad():
        task.validation_step({"image": images, "label": labels, "context": [{}, {}]}, 0)
    assert float(task.val_weight.compute()) == 80 * 180 + 32 * 64
    assert set(shapes) == ({(32, 64)} if window == "sliding" else {(40, 90), (32, 64)})


@pytest.mark.parametrize(("same_size", "tried"), [(True, True), (False, False)])
def test_cudnn_tries_its_algorithms_for_sizes_that_come_again_alone(
    same_size: bool, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    task = small_task(window="whole").eval()
    found: list[bool] = []
    task.network.register_forward_pre_hook(lambda module, given: found.append(torch.backends.cudnn.benchmark))
    images: Any = torch.zeros(2, 3, 32, 64, dtype=torch.uint8)
    images = images if same_size else [images[0], images[1, :, :30]]
    task.full_size_logits(images, [(32, 64), (30, 64)])
    assert set(found) == {tried}
    assert torch.backends.cudnn.benchmark


class Stepping(SegmentationTask):
    def backward(self, *args: Any, **rest: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("kind", "trainer", "speed", "reason"),
    [
        (SegmentationTask, {}, True, None),
        (SegmentationTask, {"world_size": 2, "precision": "bf16-mixed"}, True, None),
        (SegmentationTask, {"world_size": 2}, True, "several processes train in fp32"),
        (SegmentationTask, {"accumulate_grad_batches": 2}, True, "trainer.accumulate is more than 1"),
        (Stepping, {}, True, "Stepping overrides backward"),
        (SegmentationTask, {}, False, "segkit.speed is not there"),
    ],
)
def test_why_steps_are_lightnings_own_is_said_once(
    kind: type[SegmentationTask],
    trainer: dict[str, Any],
    speed: bool,
    reason: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", tasks.log.name)
    monkeypatch.setattr(tasks, "HAS_SPEED", speed)
    monkeypatch.setattr(SegmentationTask, "_on_gpu", lambda self: True)
    task = small_task()
    task.__class__ = kind
    task.trainer = SimpleNamespace(
        **({"accumulate_grad_batches": 1, "world_size": 1, "precision": "32-true"} | trainer)
    )  # type: ignore[assignment]
    tasks._log_plain_steps.cache_clear()
    assert [task.takes_whole_steps() for _ in range(3)] == [reason is None] * 3
    assert caplog.messages == ([] if reason is None else [f"fast step: off, {reason}"])
