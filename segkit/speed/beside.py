"""Gradients of weights, and the updates of these weights, beside the rest of backward: in CUDA streams of their own.

Backward goes from layer to layer by the gradients of maps alone. Nothing waits for a weight's gradient but its update,
and nothing for that but the next step. Small kernels leave most of a GPU idle, and updates all of its arithmetic: run
beside others, both take less time of their own. Which numbers are computed does not change.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

HELD = 1 << 28
"""Bytes of maps that are kept at most for what runs beside: beyond it, backward waits."""


class Updates(Protocol):
    """Who updates weights one at a time; see `HalfPrecisionWeights`."""

    def begin(self, copies: Collection[Tensor]) -> None: ...

    def update(self, copy: Tensor, gradient: Tensor) -> None: ...


class Way(NamedTuple):
    """How something is computed of an image and a weight of one dtype, and the gradients of both."""

    forward: Callable[[Tensor, Tensor], Tensor]
    image_gradient: Callable[[Tensor, Tensor, Tensor], Tensor]
    """``image_gradient(gradient, image, weight)``."""
    weight_gradient: Callable[[Tensor, Tensor, Tensor], Tensor]
    """The same of the weight."""


class _Held(NamedTuple):
    """Maps that something reads, the end of that, and their bytes."""

    read: Sequence[Tensor]
    end: torch.cuda.Event | None
    size: int


class Beside:
    """Takes the gradients of weights out of backward; in force as a context, for what is computed within.

    From the second step on it updates weights as soon as their gradients are there, those that the first step has shown
    to get one gradient each, and that from here.

    Args:
        updates: who updates weights, by the tensors that are given here; None = nobody before `finish`.
        large: the weights for which that holds.
        send: sends a gradient to other processes, and gives what lets the GPU wait for the sum. Called for ``large``
            weights; those of others are summed by who asks for it.
    """

    def __init__(
        self,
        updates: Updates | None = None,
        large: Collection[Tensor] = (),
        send: Callable[[Tensor], Callable[[], object]] | None = None,
    ) -> None:
        self.updates, self.large, self.send = updates, {*large}, send
        self.early: set[Tensor] = set()
        self._streams: dict[str, torch.cuda.Stream] = {}
        self._gradients: dict[Tensor, list[Tensor]] = {}
        self._held: deque[_Held] = deque()
        self._updating: list[Tensor] = []
        self._sent: list[Callable[[], object]] = []
        self._done: set[Tensor] = set()

    def __enter__(self) -> "Beside":
        _in_force.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _in_force.pop()

    def take(self, weight: Tensor, compute: Callable[[], Tensor], *read: Tensor) -> None:
        """``compute()`` is the gradient of ``weight``, or a part of it; ``read`` are the maps that it reads."""
        with self._aside(weight.device, "gradients"):
            gradient = compute()
            summed = self.send(gradient) if self.send is not None and weight in self.large else None
        self._hold(read, "gradients")
        if self.updates is None or weight not in self.early:
            self._gradients.setdefault(weight, []).append(gradient)
            self._sent += [] if summed is None else [summed]
            return
        with self._aside(weight.device, "updates", after="gradients"):
            if summed is not None:
                summed()
            if not self._done:
                self.updates.begin(self.early)
            self.updates.update(weight, gradient)
        torch.autograd.graph.increment_version(weight)  # who has yet to read it is told, and nothing is recorded
        self._done.add(weight)
        self._updating.append(gradient)

    def finish(self) -> None:
        """Wait for what runs beside, and hand over the gradients of weights that are not updated yet.

        Raises:
            RuntimeError: a weight that has been updated has got a gradient from elsewhere.
        """
        try:
            self._hand_over()
        finally:
            self.clear()

    def clear(self) -> None:
        """Give up what is kept for a backward pass: it would keep that pass's maps for ever, as they know of this."""
        for kept in (self._gradients, self._held, self._updating, self._sent, self._done):
            kept.clear()

    def _hand_over(self) -> None:
        for summed in self._sent:
            summed()
        for stream in self._streams.values():
            torch.cuda.current_stream(stream.device).wait_stream(stream)
        if any(weight.grad is not None for weight in self._done):
            raise RuntimeError("a weight gets a gradient from elsewhere after its update")
        if not self.early:
            alone = {weight for weight, parts in self._gradients.items() if len(parts) == 1 and weight.grad is None}
            self.early = alone & self.large
        for weight, parts in self._gradients.items():
            for part in parts:
                weight.grad = part if weight.grad is None else weight.grad + part

    def _hold(self, read: Sequence[Tensor], name: str) -> None:
        """Keep what a stream still reads: else its memory would be given to what runs beside."""
        end = self._streams[name].record_event() if name in self._streams else None
        self._held.append(_Held(read, end, sum(tensor.nbytes for tensor in read)))
        while sum(held.size for held in self._held) > HELD:
            first = self._held.popleft()
            if first.end is not None:
                torch.cuda.current_stream(first.read[0].device).wait_event(first.end)

    @contextmanager
    def _aside(self, device: torch.device, name: str, after: str | None = None) -> Iterator[None]:
        """Launch in the stream of that name, after all that is in the current one, or in another one by now."""
        if device.type != "cuda":
            yield
            return
        if name not in self._streams:
            self._streams[name] = torch.cuda.Stream(device)
        stream = self._streams[name]
        stream.wait_stream(torch.cuda.current_stream(device) if after is None else self._streams[after])
        with torch.cuda.stream(stream):
            yield


_in_force: list[Beside] = []


def in_force(weight: Tensor) -> Beside | None:
    """The innermost one, if it can take the gradient of ``weight``."""
    return _in_force[-1] if _in_force and weight.is_leaf and weight.requires_grad else None


def computed(beside: Beside, way: Way, image: Tensor, weight: Tensor) -> Tensor:
    """``way.forward(image, weight)``, the weight in the image's dtype, its gradient taken by ``beside``."""
    result: Tensor = _Computed.apply(image, weight, beside, way)
    return result


class _Computed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, beside: Beside, way: Way) -> Tensor:  # type: ignore[override]
        cast = weight.to(image.dtype)
        ctx.save_for_backward(image, cast)
        ctx.weight, ctx.beside, ctx.way = weight, beside, way
        return way.forward(image, cast)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        image, cast = ctx.saved_tensors
        weight, way = ctx.weight, ctx.way
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        # The image's first: the weight changes with its update.
        before = way.image_gradient(gradient, image, cast) if ctx.needs_input_grad[0] else None
        if ctx.needs_input_grad[1]:
            ctx.beside.take(
                weight, lambda: way.weight_gradient(gradient, image, cast).to(weight.dtype), gradient, image
            )
        return before, None, None, None
