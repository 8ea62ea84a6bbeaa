"""A function of tensors on a GPU, recorded once and replayed: one launch in the place of hundreds."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import torch
from torch import Tensor

WARM_UP = 3
"""Calls before recording, in which libraries choose their kernels, compile and allocate what they keep."""


class Recorded(Protocol):
    """What replays a function; see `CudaGraph`."""

    def __call__(self, *inputs: Tensor) -> Tensor: ...

    def close(self) -> None: ...


class CudaGraph:
    """``function(*inputs)``, whose every later call is a replay of its kernels with new values.

    What the function decides in Python is decided once; what it reads and writes on the GPU keeps its place. It is
    called `WARM_UP` times, and once more to be recorded, which computes nothing.

    Args:
        function: gives one tensor.
        inputs: of the shapes and dtypes of all later calls.

    Raises:
        RuntimeError: the function waits for the GPU somewhere, or does something else that cannot be recorded.
    """

    def __init__(self, function: Callable[..., Tensor], *inputs: Tensor) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        device = self._inputs[0].device
        here, aside = torch.cuda.current_stream(device), torch.cuda.Stream(device)
        aside.wait_stream(here)
        try:
            with torch.cuda.stream(aside):
                for call in range(WARM_UP):
                    self._warm_up(function, last=call == WARM_UP - 1)
        finally:
            here.wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        pool = torch.cuda.graph_pool_handle()
        generator = torch.cuda.default_generators[device.index]
        untouched = generator.clone_state()
        try:
            # The outer context brings the stream back where recording fails; loader threads may be allocating pinned
            # memory meanwhile (thread_local).
            with (
                torch.cuda.stream(here),
                torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"),
            ):
                self._result = function(*self._inputs)
        except Exception:
            # torch 2.11 leaves generator and allocator in the belief that recording goes on: random numbers would end
            # in an error, and memory would not be freed.
            generator.graphsafe_set_state(untouched)
            with suppress(RuntimeError):
                torch._C._cuda_endAllocateToPool(device.index, pool)
            raise

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result, which the next call overwrites."""
        for held, given in zip(self._inputs, inputs, strict=True):
            held.copy_(given)
        self._graph.replay()
        return self._result

    def close(self) -> None:
        """Give the memory back; it can not be called any more."""
        self._graph.reset()

    def _warm_up(self, function: Callable[..., Tensor], last: bool) -> None:
        # What would wait for the GPU while it is recorded is found here: an error while recording is a mess.
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode")  # a prototype: torch says so at every start
            torch.cuda.set_sync_debug_mode("error" if last else before)
        try:
            function(*self._inputs)
        finally:
            torch.cuda.set_sync_debug_mode(before)
