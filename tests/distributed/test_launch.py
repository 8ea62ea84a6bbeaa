"""Real processes, joined through gloo."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import distributed

from segkit.distributed.launch import launch
from segkit.errors import UserError
from segkit.training.callbacks.sync_batchnorm_stats import share
from tests.processes import call


def open_ports() -> set[str]:
    """Sockets of this process and the one that started it which other machines can reach."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    listening = {line[9]: line[1] for line in lines if line[3] == "0A"}
    held = set()
    for process in (os.getpid(), os.getppid()):
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                held.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
    local = ("0100007F:", "00000000000000000000000001000000:")
    return {inode for inode, address in listening.items() if inode in held and not address.startswith(local)}


def work_together(number: int, before: set[str]) -> dict[str, float]:
    """The ranks' numbers and batch-norm statistics, brought together; and how many ports are open meanwhile."""
    rank = distributed.get_rank()
    total = torch.tensor(float(number + rank))
    distributed.all_reduce(total)
    norm = torch.nn.BatchNorm2d(1)
    norm.running_mean += rank
    norm.running_var += 10 * rank
    norm.num_batches_tracked += 7
    share(norm.buffers(), processes=2)
    names = ("running_mean", "running_var", "num_batches_tracked")
    ports = {"ports": len(open_ports() - before)}
    return ports | {"total": float(total)} | {name: float(getattr(norm, name)) for name in names}


def fail(how: str) -> None:
    """Rank 1 fails while rank 0 waits for it."""
    if distributed.get_rank() == 0:
        distributed.all_reduce(torch.zeros(1))
    elif how == "user":
        raise UserError("data.root: not on this machine")
    elif how == "bug":
        raise KeyError("what was it?")
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def launched() -> dict[str, float]:
    result: dict[str, float] = launch(2, work_together, 100, open_ports())
    return result


def test_rank_0_tells_what_all_have_done() -> None:
    expected = {"total": 201.0, "running_mean": 0.5, "running_var": 6.0, "num_batches_tracked": 7.0}
    # One port: torch's store of the ranks' addresses. What it unpickles lies in a file.
    assert call(launched, spawns=2) == expected | {"ports": 1}


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("user", UserError, "^data.root: not on this machine$"),
        ("bug", RuntimeError, r"process 1 of the run failed: KeyError: 'what was it\?'\n(.|\n)*in fail"),
        # Which it is depends on who notices first, the launcher or the process that waits.
        ("kill", UserError, "^(process 1 of the run ended with SIGKILL|a process of the run ended without a word) "),
    ],
)
def test_the_one_that_failed_is_told_and_not_those_that_waited_for_it(
    how: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        call(launch, 2, fail, how, spawns=2)
