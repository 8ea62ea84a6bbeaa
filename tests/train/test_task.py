from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pytorch_lightning import Trainer
from torchmetrics import Metric, MetricCollection

from segkit.train.task import SegmentationTask

CLASSES = [{"name": "background", "colour": None, "background": True}, {"name": "road", "colour": [0, 255, 0]}]


def small_task(**settings: Any) -> SegmentationTask:
    torch.manual_seed(0)
    return SegmentationTask(CLASSES, [32, 64], encoder="vgg16_bn", fc_channels=8, **settings)


def optimizer_of(task: SegmentationTask) -> torch.optim.Optimizer:
    task.trainer = Trainer(max_steps=10, logger=False, enable_checkpointing=False, accelerator="cpu")
    return task.configure_optimizers()["optimizer"]


def test_decoder_decay_is_an_l2_penalty_on_the_decoders_kernels_alone() -> None:
    """Adam with a decoupled factor in the optimizer takes the same step as with the penalty written into the loss."""
    image = torch.randint(0, 256, (1, 3, 32, 64), dtype=torch.uint8)
    label = torch.randint(0, 2, (1, 32, 64), dtype=torch.uint8)
    with_setting, by_hand = small_task(decoder_decay=0.1, dropout=0.0), small_task(decoder_decay=0.0, dropout=0.0)
    for task in (with_setting, by_hand):
        optimizer = optimizer_of(task)
        loss = task.compute_loss(image, label)
        if task is by_hand:
            loss = loss + 0.1 / 2 * sum((w**2).sum() for w in task.network.decoder_kernels())
        loss.backward()
        optimizer.step()
    for (name, one), other in zip(with_setting.network.named_parameters(), by_hand.network.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-7), name


def test_decoder_decay_moves_kernels_that_get_no_other_gradient() -> None:
    task = small_task(decoder_decay=0.1)
    optimizer = optimizer_of(task)
    before = [w.detach().clone() for w in task.network.decoder_kernels()]
    for parameter in task.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for old, new in zip(before, task.network.decoder_kernels(), strict=True):
        assert float(new.detach().norm()) < float(old.norm())


def test_validation_scores_at_each_pictures_own_size_whatever_the_batches() -> None:
    task = small_task().eval()
    with torch.no_grad():
        for kernel in task.network.decoder_kernels():  # no two pictures have the same loss then
            kernel *= 30
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


def test_a_part_can_be_replaced_by_overriding_one_hook() -> None:
    class Halved(SegmentationTask):
        def build_loss(self) -> Any:
            whole = super().build_loss()
            return lambda logits, label: whole(logits, label) / 2

    image, label = torch.zeros(1, 3, 32, 64), torch.ones(1, 32, 64, dtype=torch.uint8)
    torch.manual_seed(0)
    halved = Halved(CLASSES, [32, 64], encoder="vgg16_bn", fc_channels=8)
    plain = small_task()
    halved.load_state_dict(plain.state_dict())
    with torch.no_grad():
        ratio = halved.eval().compute_loss(image, label) / plain.eval().compute_loss(image, label)
    assert float(ratio) == pytest.approx(0.5)


class PerClass(Metric):
    """A vector per class, another vector, a matrix and a number below a name of its own."""

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        pass

    def compute(self) -> dict[str, Any]:
        return {"recall": torch.tensor([0.5, 1.0]), "curve": [1, 2, 3], "pairs": {"a": torch.eye(2)}}


def test_metrics_of_any_shape_are_logged_and_accuracy_need_not_be_there() -> None:
    class Own(SegmentationTask):
        def build_metrics(self) -> MetricCollection:
            return MetricCollection([PerClass()])

    task = Own(CLASSES, [32, 64], encoder="vgg16_bn", fc_channels=8).eval()
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
