"""The LightningModule: what is optimised, how, and what validation measures.

To change one thing, subclass and override one of the three hooks (``build_network``, ``build_loss``,
``build_metrics``), and name the subclass as ``_target_`` in a file under ``conf/model/``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.func import functional_call
from torchmetrics import Metric, MetricCollection, SumMetric

from segkit.data.input_size import InputSize
from segkit.data.records import IGNORE_INDEX, SegmentationClass
from segkit.losses.cross_entropy import cross_entropy
from segkit.metrics.confusion import ClassScores
from segkit.metrics.cross_validation import Counts, counts_of
from segkit.metrics.flatten import flatten_scores
from segkit.models.decoders.fcn import FCN
from segkit.models.full_size import logits_at_size, logits_of, to_confidence
from segkit.models.weights import load_pretrained
from segkit.optim.schedules import learning_rate_factor
from segkit.speed.cuda_graph_step import GpuStep
from segkit.speed.mixed_precision_adam import TwinAdam

Batch = dict[str, Any]


# On GPUs the step is recorded and replayed, which holds for segkit's own network and loss: another one may decide
# something anew at every step. A class that overrides any of these trains Lightning's way.
OF_THE_STEP = (
    *("build_network", "build_loss", "training_step", "backward", "configure_optimizers", "optimizer_step"),
    *("optimizer_zero_grad", "configure_gradient_clipping", "on_before_zero_grad", "on_before_optimizer_step"),
)


class SegmentationTask(LightningModule):
    """FCN training: cross-entropy over scored pixels, Adam, L2 on the decoder.

    A subclass with a constructor of its own passes on what it does not know (``**rest``).

    Args:
        classes: the data module's ``class_list``, each as a mapping of the fields of ``SegmentationClass``.
        image_shape, resize, window, overlap: see :class:`segkit.data.input_size.InputSize`.
        metrics: the data module's own, which validation logs too.
        stride, encoder, fc_channels, dropout, skip_scale, init: see :class:`segkit.models.decoders.fcn.FCN`.
        weights: pretrained encoder weights, see :func:`segkit.models.weights.load_pretrained`; None = random.
        learning_rate: Adam's.
        decoder_decay: factor of the decoder kernels in their own gradient (the gradient of decoder_decay/2·‖w‖²).
        schedule: "constant" or "cosine" (to 0 at the last step).
        warmup: share of all steps over which the learning rate rises linearly from 0.
    """

    network: FCN
    val_counts: Counts = {}
    """Of the last validation."""

    def __init__(
        self,
        classes: list[dict[str, Any]],
        image_shape: list[int],
        metrics: Sequence[Metric] = (),
        resize: list[int] | float | Literal["image_shape"] | None = "image_shape",
        window: Literal["sliding", "whole"] = "sliding",
        overlap: float = 0.5,
        stride: Literal[8, 16, 32] = 8,
        encoder: Literal["vgg16", "vgg16_bn"] = "vgg16",
        weights: str | None = None,
        fc_channels: int | None = 4096,
        dropout: float = 0.2,
        skip_scale: tuple[float, float] = (0.01, 0.0001),
        init: Literal["normal", "bilinear"] = "normal",
        learning_rate: float = 1e-4,
        decoder_decay: float = 1e-3,
        schedule: Literal["constant", "cosine"] = "constant",
        warmup: float = 0.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["metrics"])
        self.class_list = tuple(
            SegmentationClass(**item | {"colour": item["colour"] and tuple(item["colour"])}) for item in classes
        )
        # The layout that batches come in, and the faster one for convolutions on GPUs and CPUs alike.
        self.network = self.build_network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss = self.build_loss()
        self.input_size = InputSize.of(image_shape, resize, window, overlap)
        self.own_metrics = list(metrics)
        self.metrics = self.build_metrics()
        self.compute_loss: Callable[..., Tensor] = self._compute_loss
        self.gpu_step: GpuStep | None = None

    # ---- the three hooks ----

    def build_network(self) -> FCN:
        """The network: ``forward(image uint8 (B, 3, H, W)) -> logits (B, C, H, W)``, and ``decoder_kernels()``."""
        h = self.hparams
        network = FCN(
            num_classes=len(self.class_list),
            stride=h["stride"],
            encoder=h["encoder"],
            fc_channels=h["fc_channels"],
            dropout=h["dropout"],
            skip_scale=tuple(h["skip_scale"]),
            init=h["init"],
        )
        if h["weights"] is not None:
            load_pretrained(network.encoder, h["weights"])
        return network

    def build_loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The training loss: ``loss(logits, label) -> scalar``."""
        return cross_entropy

    def build_metrics(self) -> MetricCollection:
        """Validation metrics, updated picture by picture at its own size; what they compute is logged by its names.

        A metric's ``update`` is given those of these keywords that it names: ``predicted`` and ``label`` (classes,
        (H, W); torchmetrics' own metrics know them as ``preds`` and ``target``), ``confidence`` (uint8 (H, W), of class
        1 of two; None where there are more), and those of the data module's ``context``.
        """
        return MetricCollection([ClassScores(self.class_list), *self.own_metrics], compute_groups=False)

    # ---- training ----

    def _compute_loss(self, image: Tensor, label: Tensor, replaced: Mapping[str, Tensor] | None = None) -> Tensor:
        """The loss of a batch, with the parameters ``replaced`` in place of the network's own."""
        logits = functional_call(self.network, dict(replaced), (image,)) if replaced else self.network(image)
        return self.loss(logits, label)

    def compile_step(self) -> None:
        """Compile network and loss together (``trainer.compile``)."""
        self.compute_loss = torch.compile(self._compute_loss)

    def takes_whole_steps(self) -> bool:
        """Whether a :class:`GpuStep` does what Lightning's loop and torch's DistributedDataParallel do elsewhere."""
        if not self._on_gpu() or self.trainer.accumulate_grad_batches > 1:
            return False
        if self.trainer.world_size > 1 and self.trainer.precision != "bf16-mixed":
            return False  # in fp32 nothing would be sent while backward goes on, which DistributedDataParallel does
        return all(getattr(type(self), name) is getattr(SegmentationTask, name) for name in OF_THE_STEP)

    def _build_gpu_step(self) -> GpuStep:
        trainer, optimizer = self.trainer, self.trainer.optimizers[0]
        assert isinstance(optimizer, TwinAdam)
        losses = partial(self._part_of_loss, self.compute_loss), partial(self._part_of_loss, self._compute_loss)
        bf16, clip = trainer.precision == "bf16-mixed", trainer.gradient_clip_val
        return GpuStep(self.network, *losses, optimizer, bf16, clip, trainer.world_size)  # type: ignore[arg-type]

    def _on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def on_train_end(self) -> None:
        self.gpu_step = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if self.gpu_step is not None:
            return self.gpu_step(batch["image"], batch["label"])
        return self._part_of_loss(self.compute_loss, batch["image"], batch["label"])

    # A GpuStep is the whole step: gradients and update are done when it gives the loss.

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        if self.gpu_step is None:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def backward(self, loss: Tensor, *args: Any, **rest: Any) -> None:
        if self.gpu_step is None:
            super().backward(loss, *args, **rest)

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        # The first of a step's hooks. A subclass may override that of training's start without a thought of it.
        if self.gpu_step is None and self.takes_whole_steps():
            self.gpu_step = self._build_gpu_step()
        if self.gpu_step is None:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        else:
            optimizer_closure()

    def _part_of_loss(self, loss: Callable[..., Tensor], image: Tensor, label: Tensor, *rest: Any) -> Tensor:
        """The loss of this process's part of a batch, times its share of the scored pixels relative to the mean share.

        With this factor the mean over the processes is the mean over all scored pixels, as one process would have it.
        """
        if self.trainer.world_size == 1:
            return loss(image, label, *rest)
        scored = (label != IGNORE_INDEX).sum().float()
        total = scored.clone()
        # Lightning's own reduction waits for the GPU; here the processes tell each other while they compute.
        told = torch.distributed.all_reduce(total, async_op=True)
        value = loss(image, label, *rest)
        told.wait()
        return value * (self.trainer.world_size * scored / total.clamp(min=1))

    def configure_optimizers(self) -> Any:
        self.gpu_step = None  # that of an earlier fit updates what the earlier optimiser knows
        decoder_kernels = list(self.network.decoder_kernels())
        in_decoder = {id(p) for p in decoder_kernels}
        others = [p for p in self.network.parameters() if id(p) not in in_decoder]
        optimizer = TwinAdam(
            [{"params": others}, {"params": decoder_kernels, "weight_decay": self.hparams["decoder_decay"]}],
            lr=self.hparams["learning_rate"],
            fused=self.device.type == "cuda",
        )
        factor = learning_rate_factor(
            self.hparams["schedule"], self.hparams["warmup"], int(self.trainer.estimated_stepping_batches)
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what prediction and ``result.json`` need: which class to build, and the scores at this point.

        The pixel counts behind the scores are there too, for joining runs (:mod:`segkit.metrics.cross_validation`).
        """
        metrics = self.trainer.callback_metrics
        checkpoint["segkit"] = {
            "task": f"{type(self).__module__}.{type(self).__qualname__}",
            "epoch": self.trainer.current_epoch + 1,
            "scores": {k.removeprefix("val/"): float(v) for k, v in metrics.items() if k.startswith("val/")},
            "counts": self.val_counts,
        }

    # ---- validation: at each picture's own size ----

    def on_validation_epoch_start(self) -> None:
        self.val_loss, self.val_pixels = (SumMetric(nan_strategy="disable").to(self.device) for _ in range(2))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        pictures = zip(self.logits_of(batch["image"]), batch["label"], batch["context"], strict=True)
        for logits, label, context in pictures:
            logits = logits_at_size(logits, label.shape)
            # Weighted by the scored pixels: every pixel counts the same, whatever its picture.
            pixels = (label != IGNORE_INDEX).sum()
            self.val_loss.update(self.loss(logits[None], label[None]) * pixels)
            self.val_pixels.update(pixels)
            confidence = to_confidence(logits.softmax(0)[1]) if len(logits) == 2 else None
            self._measure(self.metrics, logits.argmax(0), label, confidence, context)

    def logits_of(self, images: Tensor | Sequence[Tensor]) -> Iterator[Tensor]:
        """Logits (C, h, w) of each picture of an evaluation batch, at the size at which it is given."""
        return logits_of(self.network, images, self.input_size)

    @staticmethod
    def _measure(
        metrics: MetricCollection,
        predicted: Tensor,
        label: Tensor,
        confidence: Tensor | None,
        context: Mapping[str, Any],
    ) -> None:
        metrics.update(
            predicted=predicted,
            label=label,
            preds=predicted,
            target=label,
            confidence=confidence,
            **context,
        )

    def on_validation_epoch_end(self) -> None:
        scores = self.scores()
        self.val_counts = counts_of(self.metrics)
        self.metrics.reset()
        self.log_dict({f"val/{name}": value for name, value in scores.items()})

    def score_names(self, context: Mapping[str, Any]) -> list[str]:
        """The names under which validation logs, without ``val/``: what the metrics make of a made-up picture."""
        height, width = self.input_size.image_shape
        label = torch.arange(height * width).remainder(len(self.class_list)).reshape(height, width)
        confidence = (label * 255).byte() if len(self.class_list) == 2 else None
        metrics = self.metrics.clone()
        self._measure(metrics, label, label.byte(), confidence, context)
        return ["loss", *flatten_scores(metrics.compute(), [item.name for item in self.class_list])]

    def scores(self) -> dict[str, float]:
        """The loss and all metrics over the pictures seen since the last reset."""
        values = {"loss": self.val_loss.compute() / self.val_pixels.compute()} | self.metrics.compute()
        return flatten_scores(values, [item.name for item in self.class_list])
