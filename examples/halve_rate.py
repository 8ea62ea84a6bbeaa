"""A callback of one's own: halves the learning rate when an epoch's score is worse than the best so far."""

import math

from pytorch_lightning import Callback, LightningModule, Trainer


class HalveRate(Callback):
    """Acts on the schedulers' base rates, so it goes with any schedule. Kept in last.ckpt, so a resumed run knows.

    Args:
        monitor: the score, higher being better.
    """

    def __init__(self, monitor: str = "val/iou") -> None:
        self.monitor, self.best = monitor, -math.inf

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.best = state_dict["best"]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The scores are logged by now; before the end of validation they are those of the epoch before.
        score = float(trainer.callback_metrics[self.monitor])
        if score < self.best:
            for config in trainer.lr_scheduler_configs:
                config.scheduler.base_lrs = [rate / 2 for rate in config.scheduler.base_lrs]
        self.best = max(self.best, score)
