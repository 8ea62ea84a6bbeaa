"""A small task to try callbacks on: a convolution, batch normalisation, a convolution."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.environments import TorchElasticEnvironment
from torch import Tensor, nn
from torch.utils.data import DataLoader

from segkit.training.ddp import DataParallel


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
        self.decoder = nn.Conv2d(2, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.decoder(self.encoder(image))


class Task(LightningModule):
    """Least squares with Adam. ``after_steps`` and ``validated`` keep the weights after each step and in validation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = Network()
        self.after_steps: list[dict[str, Tensor]] = []
        self.validated: list[dict[str, Tensor]] = []
        self.forgotten = 0

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.network(batch) - batch).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.validated.append(weights_of(self.network))
        self.log("val/loss", (self.network(batch) - batch).square().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=0.05)

    def optimizer_step(self, *args: Any, **rest: Any) -> None:
        super().optimizer_step(*args, **rest)
        self.after_steps.append(weights_of(self.network))

    def forget_recorded_step(self) -> None:
        self.forgotten += 1


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Copies of all weights and statistics, past what a state dict is made to show."""
    held = [*network.named_parameters(), *network.named_buffers()]
    return {name: value.detach().clone() for name, value in held}


def data(seed: int) -> DataLoader:
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(torch.randn(6, 1, 3, 3, generator=generator), batch_size=2)  # type: ignore[arg-type]


def train(task: Task, folder: Path, epochs: int, *callbacks: Callback, resume: Path | None = None, **rest: Any) -> None:
    """In one process, or, in one of several that are joined, together: each then has its own pictures."""
    together = torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if together else 0
    trainer = Trainer(
        accelerator="cpu",
        devices=2 if together else 1,
        **({"strategy": DataParallel(), "plugins": [TorchElasticEnvironment()]} if together else {}),
        max_epochs=epochs,
        callbacks=list(callbacks),
        default_root_dir=folder,
        use_distributed_sampler=False,
        logger=False,
        num_sanity_val_steps=0,
        enable_checkpointing=any("Checkpoint" in type(callback).__name__ for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        **rest,
    )
    trainer.fit(task, data(2 * rank), data(2 * rank + 1), ckpt_path=resume, weights_only=True)


def alike(task: Task) -> bool:
    """Whether all processes hold the same weights and statistics."""
    own = torch.cat([value.flatten().double() for value in weights_of(task.network).values()])
    all_of_them = [torch.zeros_like(own) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(all_of_them, own)
    return all(torch.equal(own, other) for other in all_of_them)


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
