"""Parts of the network that do not learn, all the time or at first."""

from typing import Annotated

import torch
from annotated_types import Ge
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import DDPStrategy
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from segkit.errors import UserError, did_you_mean


class Freezing(Callback):
    """Keeps weights and batch statistics of parts of ``module.network`` as they are.

    Args:
        freeze: names of parts, dotted: ``encoder``, ``encoder.features``.
        unfreeze_at: epochs after which they learn like the rest; None = never.
    """

    def __init__(self, freeze: list[str], unfreeze_at: Annotated[int, Ge(1)] | None = None) -> None:
        self.freeze = freeze
        self.unfreeze_at = unfreeze_at

    # Before the network is wrapped for several processes, which exchange the gradients of what learns alone.
    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Raises UserError for a name that the network does not have, and where nothing is left to learn."""
        if stage != "fit":
            return
        network: nn.Module = module.network  # type: ignore[assignment]
        parts = [find_part(network, name) for name in self.freeze]
        weights = {weight: None for part in parts for weight in part.parameters() if weight.requires_grad}
        self.frozen = list(weights)
        self.norms = [layer for part in parts for layer in part.modules() if isinstance(layer, _BatchNorm)]
        for weight in self.frozen:
            weight.requires_grad_(False)
        if not any(weight.requires_grad for weight in network.parameters()):
            raise UserError(f"trainer.freeze=[{', '.join(self.freeze)}]: nothing is left to train")

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        if self.unfreeze_at is None or trainer.current_epoch < self.unfreeze_at:
            for layer in self.norms:
                layer.eval()
        elif self.frozen:
            self._unfreeze(trainer, module)

    def _unfreeze(self, trainer: Trainer, module: LightningModule) -> None:
        for weight in self.frozen:
            weight.requires_grad_(True)
        for layer in self.norms:
            layer.train()
        self.frozen, self.norms = [], []
        for optimizer in trainer.optimizers:
            begin_momentum(optimizer)
        if hasattr(module, "forget_recorded_step"):
            module.forget_recorded_step()  # type: ignore[operator]
        strategy = trainer.strategy
        if isinstance(strategy, DDPStrategy):  # wrapped anew: the gradients to exchange are other ones
            strategy.model = module
            strategy.configure_ddp()


def begin_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give weights that begin to learn late the momentum that SGD's fused kernel wants of all or of none: zero.

    Without dampening the first step makes of it what it would have made of none.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        learning = [weight for weight in group["params"] if group["momentum"] and weight.requires_grad]
        late = [weight for weight in learning if optimizer.state[weight].get("momentum_buffer") is None]
        for weight in late if len(late) < len(learning) else []:
            optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)


def find_part(network: nn.Module, name: str) -> nn.Module:
    """The module of a dotted name. Raises UserError saying which there are where this one is not."""
    found, known = network, ""
    for word in name.split("."):
        children = dict(found.named_children())
        if word not in children:
            there = ", ".join(f"{known}{child}" for child in children) or "no parts"
            near = did_you_mean(word, children)
            raise UserError(f"trainer.freeze: the network has no part {name!r}; it has {there}{near}")
        found, known = children[word], f"{known}{word}."
    return found
