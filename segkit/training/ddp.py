"""Lightning's strategy for several processes that train one network, each on its part of every batch."""

from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy

from segkit.distributed.ranks import TOGETHER
from segkit.training.task import SegmentationTask


class DataParallel(DDPStrategy):
    """torch's DistributedDataParallel, but for a task whose steps are whole.

    Such a step (`segkit.speed.recorded_step.RecordedStep`) sums up the gradients itself, as part of what it
    records, and has no use for the wrapper.
    """

    def __init__(self, **rest: Any) -> None:
        # Gradients are averaged; buffers are SharedStatistics' business.
        super().__init__(broadcast_buffers=False, gradient_as_bucket_view=True, timeout=TOGETHER, **rest)

    def configure_ddp(self) -> None:
        task = self.lightning_module
        if isinstance(task, SegmentationTask) and task.takes_whole_steps():
            for held in (*task.parameters(), *task.buffers()):
                torch.distributed.broadcast(held.detach(), src=0)
        else:
            super().configure_ddp()

    def teardown(self) -> None:
        # Also where training was broken off: NCCL waits at its end for recorded steps that are still there.
        task = self.lightning_module
        if isinstance(task, SegmentationTask) and task.step is not None:
            task.step.close()
        super().teardown()
