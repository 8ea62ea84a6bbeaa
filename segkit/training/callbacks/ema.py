"""An exponential moving average of the weights, which is what validation and prediction see."""

from functools import partial
from typing import Annotated, Any

import torch
from annotated_types import Gt, Lt
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from segkit.training.callbacks.sync_batchnorm_stats import share

TRAINED = "trained_weights"
"""Entry of a checkpoint beside ``state_dict``, which holds the average: the weights that training goes on with."""


class ExponentialMovingAverage(Callback):
    """Averages weights and batch statistics: after each step, average = d · average + (1 - d) · weights.

    d is ``decay``, but after step t at most (1 + t) / (10 + t): a short training is not to remember its random start.
    Integers (how many batches were seen) are copied.

    Validation is of the average. So is every state dict of the module, and with it every checkpoint; one that a run can
    go on from holds the weights themselves too. When training ends, the module keeps the average.

    Lightning's own ``WeightAveraging`` leaves its average out of checkpoints of weights alone (``best.ckpt``), keeps it
    where the network was before it came to the GPU, and waits for the GPU at every step.
    """

    def __init__(self, decay: Annotated[float, Gt(0), Lt(1)]) -> None:
        self.decay = decay
        self.resumed: dict[str, Tensor] = {}
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def on_load_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.resumed = checkpoint.get(TRAINED, {})  # a run that had no average so far begins one with its weights

    # The module is on its device by now, and has what a checkpoint's state dict holds: the average.
    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.trained = {k: v for k, v in module.state_dict(keep_vars=True).items() if isinstance(v, Tensor)}
        averages = {held: held.detach().clone() for held in self.trained.values()}  # one for a weight of two names
        self.average = {name: averages[held] for name, held in self.trained.items()}
        self.pairs = [(held.detach(), average) for held, average in averages.items()]
        self.blended = [pair for pair in self.pairs if pair[0].is_floating_point()]
        self.copied = [pair for pair in self.pairs if not pair[0].is_floating_point()]
        self.statistics = [average for held, average in averages.items() if not isinstance(held, nn.Parameter)]
        with torch.no_grad():
            for name, value in self.resumed.items():
                self.trained[name].copy_(value)
        self.swapped = False
        self.hook = module.register_state_dict_post_hook(partial(self._show_average))  # which marks what it is given

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.steps = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        if trainer.global_step == self.steps:  # a step of several batches is not complete
            return
        share = self.next_share()
        self.steps = trainer.global_step
        if getattr(getattr(module, "step", None), "averages", False):  # it has done so
            return
        # On a GPU a few launches for all, not one for each.
        torch._foreach_lerp_([average for _, average in self.blended], [held for held, _ in self.blended], share)
        if self.copied:
            torch._foreach_copy_([average for _, average in self.copied], [held for held, _ in self.copied])

    def by_name(self) -> dict[str, tuple[Tensor, Tensor]]:
        """The module's tensors, each with its average."""
        return {name: (held, self.average[name]) for name, held in self.trained.items()}

    def next_share(self) -> float:
        """1 - d of the next step."""
        step = self.steps + 1
        return 1 - min(self.decay, (1 + step) / (10 + step))

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._share(trainer)
        self._swap()

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._swap()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._share(trainer)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._swap()

    def teardown(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        if self.pairs:
            self.hook.remove()
            self.pairs = []

    def on_save_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        trained = self.average if self.swapped else self.trained
        checkpoint[TRAINED] = {name: value.detach() for name, value in trained.items()}

    def _show_average(self, module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        if not self.swapped:  # else the module itself holds it
            state.update({prefix + name: value for name, value in self.average.items()})

    def _share(self, trainer: Trainer) -> None:
        # The mean of the processes' averages is the average of what they would have shared after every step.
        if self.pairs:
            share(self.statistics, trainer.world_size)

    def _swap(self) -> None:
        """Exchange values, not tensors: the optimiser and what is recorded of a step know where theirs lie."""
        with torch.no_grad():
            for held, average in self.pairs:
                kept = held.clone()
                held.copy_(average)
                average.copy_(kept)
        self.swapped = not self.swapped
