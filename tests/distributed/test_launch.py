"""Real processes, joined through gloo."""

import os
import signal

import pytest
import torch
from torch import distributed

from segkit.distributed.launch import launch
from segkit.errors import UserError
from segkit.training.callbacks.sync_batchnorm_stats import share
from tests.processes import call


def work_together(number: int) -> dict[str, float]:
    """The ranks' numbers and batch-norm statistics, brought together."""
    rank = distributed.get_rank()
    total = torch.tensor(float(number + rank))
    distributed.all_reduce(total)
    norm = torch.nn.BatchNorm2d(1)
    norm.running_mean += rank
    norm.running_var += 10 * rank
    norm.num_batches_tracked += 7
    share(norm.buffers(), processes=2)
    names = ("running_mean", "running_var", "num_batches_tracked")
    return {"total": float(total)} | {name: float(getattr(norm, name)) for name in names}


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


def test_rank_0_tells_what_all_have_done() -> None:
    expected = {"total": 201.0, "running_mean": 0.5, "running_var": 6.0, "num_batches_tracked": 7.0}
    assert call(launch, 2, work_together, 100, spawns=2) == expected


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("user", UserError, "^data.root: not on this machine$"),
        ("bug", RuntimeError, r"process 1 of the run failed: KeyError: 'what was it\?'\n(.|\n)*in fail"),
        ("kill", RuntimeError, "process 1 of the run ended with SIGKILL"),
    ],
)
def test_the_one_that_failed_is_told_and_not_those_that_waited_for_it(
    how: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        call(launch, 2, fail, how, spawns=2)
