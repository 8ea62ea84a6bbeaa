"""The LightningModule: one network, one loss and one optimiser trained together, and what validation measures."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.func import functional_call
from torchmetrics import Metric, MetricCollection, SumMetric

from segkit.data.picture_input import PictureInput
from segkit.data.records import SegmentationClass
from segkit.losses.auxiliary import with_auxiliary
from segkit.losses.pixels import number_scored
from segkit.metrics.confusion import ClassScores
from segkit.metrics.cross_validation import Counts, counts_of
from segkit.metrics.flatten import flatten_scores
from segkit.models.full_size import full_size_logits, to_confidence
from segkit.models.trained import describe
from segkit.optim.recipe import Optimization
from segkit.training.callbacks.ema import ExponentialMovingAverage

if TYPE_CHECKING:
    from segkit.speed.recorded_step import RecordedStep

Batch = dict[str, Any]
"""``image`` uint8 (B, 3, H, W), a list of (3, H, W) where pictures differ in size; ``label`` uint8 (B, H, W), in
validation a list of (H0, W0) at the pictures' own sizes; ``name``; in validation ``context``, for the metrics."""

log = logging.getLogger(__name__)

OF_THE_STEP = ("training_step", "backward", "optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping")


HAS_SPEED = find_spec("segkit.speed") is not None
"""Whether that room is there: without it every step is Lightning's."""


class SegmentationTask(LightningModule):
    """Trains a network by a loss, and scores it picture by picture at the picture's own size.

    Args:
        network: ``forward(image uint8 (B, 3, H, W)) -> logits (B, C, H, W)``; while it trains, where it has auxiliary
            heads, a pair of these and a list of their logits.
        loss: ``loss(logits, label uint8 (B, H, W)) -> scalar``; label 255 does not count.
        optimization: makes the optimiser and its schedule.
        class_list: the classes by their numbers.
        metrics: what validation logs beside the class scores. A metric's ``update`` is given those of these keywords
            that it names: ``predicted`` and ``label`` (classes, (H, W); torchmetrics' own metrics know them as
            ``preds`` and ``target``), ``confidence`` (uint8 (H, W), of class 1 of two; None where there are more), and
            those of the data set's ``context``.
        picture_input: how pictures come to the network.
        model: the network's config, which checkpoints keep: whoever loads one builds the network from it.
        auxiliary_weight: factor of the auxiliary heads' losses.

    Attributes:
        val_counts: the pixel counts of the last validation, for joining runs (:mod:`segkit.metrics.cross_validation`).
        step: the recorded step that trains on a GPU, once there is one.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        optimization: Optimization,
        class_list: Sequence[SegmentationClass],
        picture_input: PictureInput,
        metrics: Sequence[Metric] = (),
        model: Mapping[str, Any] | None = None,
        auxiliary_weight: float = 0.4,
    ) -> None:
        super().__init__()
        # The layout that batches come in, and the faster one for convolutions on GPUs and CPUs alike.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss = loss
        self.optimization = optimization
        self.class_list = tuple(class_list)
        self.picture_input = picture_input
        self.metrics = MetricCollection([ClassScores(self.class_list), *metrics], compute_groups=False)
        self.model = dict(model or {})
        self.auxiliary_weight = auxiliary_weight
        self.val_counts: Counts = {}
        self.compute_loss: Callable[..., Tensor] = self._compute_loss
        self.step: RecordedStep | None = None

    # ---- training ----

    def _compute_loss(self, image: Tensor, label: Tensor, replaced: Mapping[str, Tensor] | None = None) -> Tensor:
        """The loss of a batch, with the parameters ``replaced`` in place of the network's own."""
        outputs = functional_call(self.network, dict(replaced), (image,)) if replaced else self.network(image)
        return with_auxiliary(self.loss, outputs, label, self.auxiliary_weight)

    def compile_step(self) -> None:
        """Compile network and loss together (``trainer.compile``)."""
        # The trial of a recorded step asks for the same random numbers (dropout) as eager steps draw.
        self.compute_loss = torch.compile(self._compute_loss, options={"fallback_random": True})

    def takes_whole_steps(self) -> bool:
        """Whether a :class:`RecordedStep` is tried in place of Lightning's loop and DistributedDataParallel."""
        if not self._on_gpu():
            return False
        reason = self._reason_for_plain_steps()
        if reason is not None:
            _log_plain_steps(reason)
        return reason is None

    def _reason_for_plain_steps(self) -> str | None:
        if not HAS_SPEED:
            return "segkit.speed is not there"
        if self.trainer.accumulate_grad_batches > 1:
            return "trainer.accumulate is more than 1"
        # Nothing would be sent while backward goes on, which DistributedDataParallel does.
        if self.trainer.world_size > 1 and self.trainer.precision != "bf16-mixed":
            return "several processes train in fp32"
        # Who overrides a hook of the step means it to be called.
        overridden = [name for name in OF_THE_STEP if getattr(type(self), name) is not getattr(SegmentationTask, name)]
        return f"{type(self).__name__} overrides {', '.join(overridden)}" if overridden else None

    def _on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def _build_step(self) -> "RecordedStep":
        from segkit.speed.averages import Averages
        from segkit.speed.recorded_step import RecordedStep

        trainer, optimizer = self.trainer, self.trainer.optimizers[0]
        plain = partial(self._part_of_loss, self._compute_loss)
        compiled = self.compute_loss != self._compute_loss
        losses = partial(self._part_of_loss, self.compute_loss) if compiled else plain, plain
        bf16, clip = trainer.precision == "bf16-mixed", trainer.gradient_clip_val
        found = [callback for callback in trainer.callbacks if type(callback) is ExponentialMovingAverage]  # type: ignore[attr-defined]
        average = Averages(found[0].by_name(), found[0].next_share) if len(found) == 1 else None
        return RecordedStep(self.network, *losses, optimizer, bf16, clip, trainer.world_size, self.loss, average)  # type: ignore[arg-type]

    def forget_recorded_step(self) -> None:
        """Record the step anew with the next batches: what is trained has changed."""
        if self.step is not None:
            self.step.forget()

    def on_train_end(self) -> None:
        if self.step is not None:
            self.step.close()
        self.step = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch, a scalar; a :class:`RecordedStep` has taken the whole step by then."""
        if self.step is not None:
            return self.step(batch["image"], batch["label"])
        return self._part_of_loss(self.compute_loss, batch["image"], batch["label"])

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        if self.step is None:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def backward(self, loss: Tensor, *args: Any, **rest: Any) -> None:
        if self.step is None:
            super().backward(loss, *args, **rest)

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        # The first of a step's hooks. A subclass may override that of training's start without a thought of it.
        if self.step is None and self.takes_whole_steps():
            self.step = self._build_step()
        if self.step is None:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        else:
            optimizer_closure()

    def _part_of_loss(self, loss: Callable[..., Tensor], image: Tensor, label: Tensor, *rest: Any) -> Tensor:
        """The loss of this process's part of a batch, times its share of what the mean is over, relative to the mean.

        With this factor the mean over the processes is the mean over all scored pixels, as one process would have it.
        """
        if self.trainer.world_size == 1:
            return loss(image, label, *rest)
        own = self._denominator(label).float()
        total = own.clone()
        # Lightning's own reduction waits for the GPU; here the processes tell each other while they compute.
        summed = torch.distributed.all_reduce(total, async_op=True)
        value = loss(image, label, *rest)
        summed.wait()
        return value * (self.trainer.world_size * own / total.clamp(min=torch.finfo(torch.float32).tiny))

    def _denominator(self, label: Tensor) -> Tensor:
        """What the loss of these labels is divided by: the scored pixels, unless the loss says otherwise."""
        return getattr(self.loss, "denominator", number_scored)(label)

    def configure_optimizers(self) -> Any:
        self.step = None  # that of an earlier fit updates what the earlier optimiser knows
        optimizer, scheduler = self.optimization.build(self.network, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what prediction and ``result.json`` need: how to build the network, and the scores at this point."""
        metrics = self.trainer.callback_metrics
        checkpoint["segkit"] = {
            **describe(self.model, self.class_list, self.picture_input),
            "epoch": self.trainer.current_epoch + 1,
            "scores": {k.removeprefix("val/"): float(v) for k, v in metrics.items() if k.startswith("val/")},
            "counts": self.val_counts,
        }

    # ---- validation: at each picture's own size ----

    def on_validation_epoch_start(self) -> None:
        self.val_loss, self.val_weight = (SumMetric(nan_strategy="disable").to(self.device) for _ in range(2))

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Tensor]]:
        """Score a batch of pictures, each at the size of its label.

        Returns:
            ``predicted``: the classes of each picture, uint8 (H0, W0), for callbacks.
        """
        predicted = []
        sizes = [tuple(label.shape) for label in batch["label"]]
        pictures = zip(self.full_size_logits(batch["image"], sizes), batch["label"], batch["context"], strict=True)
        for logits, label, context in pictures:
            # Weighted by what the loss is a mean over: every pixel counts the same, whatever its picture.
            weight = self._denominator(label[None])
            self.val_loss.update(self.loss(logits[None], label[None]) * weight)
            self.val_weight.update(weight)
            confidence = to_confidence(logits.softmax(0)[1]) if len(logits) == 2 else None
            # On a CPU ``argmax`` takes five times as long; of equals, both take the first.
            classes = logits.max(0).indices
            self._measure(self.metrics, classes, label, confidence, context)
            predicted.append(classes.byte())
        return {"predicted": predicted}

    def full_size_logits(self, images: Tensor | Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Logits (C, H0, W0) of pictures uint8 (3, H, W), each at its own size (H0, W0)."""
        return full_size_logits(self.network, images, sizes, self.picture_input)

    @staticmethod
    def _measure(
        metrics: MetricCollection,
        predicted: Tensor,
        label: Tensor,
        confidence: Tensor | None,
        context: Mapping[str, Any],
    ) -> None:
        metrics.update(
            predicted=predicted, label=label, preds=predicted, target=label, confidence=confidence, **context
        )

    def on_validation_epoch_end(self) -> None:
        scores = self.scores()
        self.val_counts = counts_of(self.metrics)
        self.metrics.reset()
        self.log_dict({f"val/{name}": value for name, value in scores.items()})

    def score_names(self, context: Mapping[str, Any]) -> list[str]:
        """The names under which validation logs, without ``val/``: what the metrics make of a made-up picture."""
        height, width = self.picture_input.image_shape
        label = torch.arange(height * width).remainder(len(self.class_list)).reshape(height, width)
        confidence = (label * 255).byte() if len(self.class_list) == 2 else None
        metrics = self.metrics.clone()
        self._measure(metrics, label, label.byte(), confidence, context)
        return ["loss", *self._flat(metrics.compute())]

    def scores(self) -> dict[str, float]:
        """The loss and all metrics over the pictures seen since the last reset."""
        return self._flat({"loss": self.val_loss.compute() / self.val_weight.compute()} | self.metrics.compute())

    def _flat(self, values: Mapping[str, Any]) -> dict[str, float]:
        return flatten_scores(values, [item.name for item in self.class_list])


@cache  # it is asked at every step
def _log_plain_steps(reason: str) -> None:
    log.info("fast step: off, %s", reason)
