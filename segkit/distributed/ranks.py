"""The processes that train one network together: who they are, and how they agree.

They are described by the environment variables of torchrun (RANK, WORLD_SIZE, LOCAL_RANK, …), which segkit's own
launcher sets too; srun's are translated into them. Nothing of torch is imported before a process joins.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from segkit.errors import UserError

MEETING = timedelta(minutes=5)
"""How long processes that have just started wait for each other."""

TOGETHER = timedelta(hours=3)
"""How long the others wait for a process, which may have a large cache to fill. A dead one is noticed at once."""

LAST_SECONDS = 15.0
"""Time for a process to end by itself after SIGTERM."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together: its number, and theirs, over all machines and on this one."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    nodes: int

    @classmethod
    def from_environment(cls) -> "Ranks | None":
        """None in a process that was started alone.

        Raises:
            UserError: something else than torchrun or srun has started it.
        """
        _translate_srun()
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return None
        if not {"RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"} <= os.environ.keys():
            raise UserError(
                f"WORLD_SIZE={size} without RANK, LOCAL_RANK and LOCAL_WORLD_SIZE: start with torchrun or srun, "
                "or unset WORLD_SIZE"
            )
        local_size = int(os.environ["LOCAL_WORLD_SIZE"])
        return cls(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]), local_size, size // local_size)


def _translate_srun() -> None:
    """srun's variables as torchrun's. In the script of ``sbatch``, outside srun, there is only one process."""
    given = os.environ
    if "WORLD_SIZE" in given or int(given.get("SLURM_STEP_NUM_TASKS", "1")) == 1:
        return
    from lightning_fabric.plugins.environments import SLURMEnvironment

    on_first = re.match(r"\d+", given["SLURM_STEP_TASKS_PER_NODE"])
    assert on_first is not None
    given["RANK"], given["WORLD_SIZE"] = given["SLURM_PROCID"], given["SLURM_STEP_NUM_TASKS"]
    given["LOCAL_RANK"], given["LOCAL_WORLD_SIZE"] = given["SLURM_LOCALID"], on_first.group()
    given["GROUP_RANK"] = given["SLURM_NODEID"]
    given["MASTER_ADDR"] = SLURMEnvironment.resolve_root_node_address(given["SLURM_STEP_NODELIST"])
    # Steps of one job, and jobs that share a machine, must not meet on one port.
    given["MASTER_PORT"] = str(15000 + (int(given["SLURM_JOB_ID"]) * 16 + int(given["SLURM_STEP_ID"])) % 16000)


@contextmanager
def joined() -> Iterator[None]:
    """Within it, the processes can talk to each other: through gloo on the CPU, through NCCL on GPUs."""
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    end_soon_after_sigterm()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, rank, size = next(rendezvous("env://", timeout=MEETING))
    store.set(f"here/{rank}", "")
    store.wait([f"here/{other}" for other in range(size)], MEETING)
    distributed.init_process_group(
        backend, store=distributed.PrefixStore("group", store), rank=rank, world_size=size, timeout=TOGETHER
    )
    yield
    # Only where all went well: with an operation that the others never finish, this would wait for them.
    distributed.destroy_process_group()


@contextmanager
def as_leader() -> Iterator[None]:
    """``joined``, for rank 0 of processes that torchrun or srun have started: the others wait for what it hands out."""
    mistake: BaseException | None = None
    with joined():
        try:
            yield
        except BaseException as error:
            if _handed:  # the others are at work, and the group is not ended in good order
                raise
            mistake = error
        if not _handed:
            share_from_leader(None)
    if mistake is not None:
        raise mistake


_handed: list[bool] = []
"""Not empty once rank 0 has handed something out."""


def share_from_leader(value: Any) -> None:
    """Called on rank 0: let the others have ``value``."""
    from torch import distributed

    _handed.append(True)
    distributed.broadcast_object_list([value], src=0)


def receive() -> Any:
    """Called on the others: what rank 0 hands out; None if it never came to that."""
    from torch import distributed

    box: list[Any] = [None]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def end_soon_after_sigterm() -> None:
    """See to it that SIGTERM ends this process within ``LAST_SECONDS``.

    When a rank has died, the others may hang in a collective operation, where no handler written in Python is run.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        while os.read(reader, 1)[0] != signal.SIGTERM:
            pass
        time.sleep(LAST_SECONDS)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
