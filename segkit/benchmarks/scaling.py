"""What several GPUs should do with a training step: predicted from bytes, bandwidth, latency and overlap.

A step on n GPUs takes as long as on one, and besides (`segkit.speed.summed_gradients` says what is sent, and when)

- the part of the gradients' exchange for which the rest of backward is too short, and the last message, which begins
  when backward has ended;
- of the part beside backward what this loses by it: the exchange takes multiprocessors and memory from it;
- for each message what it holds the step up by, whatever its bytes.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segkit.benchmarks.bare import build_network
from segkit.benchmarks.table import Table, rounded
from segkit.speed.mixed_precision import LARGE

COUNTS = (1, 2, 4, 8, 64)
"""Numbers of GPUs that are predicted."""

ENOUGH = 0.9
"""Efficiency, from which on more GPUs are well used."""

UPDATE_BYTES = 30
"""Read and written for each weight in an update: weight, its copy, gradient and two moments."""


@dataclass(frozen=True)
class Machine:
    """What exchanges are made over, and what they cost beside a backward pass. Bytes, seconds.

    Attributes:
        within: each GPU's rate to the others of its host, one way: of an H200's 18 links NCCL counts on 20.6 GB/s each
            (``SM90_NVLINK_BW`` of its ``topo.h``; the line rate is 25).
        between: each GPU's rate to other hosts, one way: an adapter of 400 Gbit/s for each, as hosts of eight H100 or
            H200 mostly have.
        per_host: GPUs of a host.
        message, hop, host_hop: what a message takes beside its bytes, and what each step from GPU to GPU and from host
            to host adds: 8.4, 3.4 and 14 µs, as NCCL counts on (``baseLat`` and ``hwLat`` of its ``tuning.cc``).
        contention: what backward loses of a second in which it shares the GPU with an exchange. It takes 18.9 % longer
            on average (arXiv 2507.03114, four H100 and others, language models).
        held_up: what a message beside backward holds the step up by. Neither derived nor explained: what all else
            leaves out of a step of FCN-8s on two H200 (batch 16, 160×576) at 3 060 images/s, a run other than that in
            the table along GPUs, divided by its messages. That it goes with their number, whatever the batch and the
            network, is assumed.
        memory: rate of the GPU's memory, measured on an H200.
        backward: share of backward in the time of forward and backward. Each layer makes two products there of the size
            of forward's one; prediction's time at batch 64 beside the step's says the same.
    """

    within: float = 18 * 20.6e9
    between: float = 50e9
    per_host: int = 8
    message: float = 8.4e-6
    hop: float = 3.4e-6
    host_hop: float = 14e-6
    contention: float = 1 - 1 / 1.189
    held_up: float = 0.137e-3
    memory: float = 4.28e12
    backward: float = 2 / 3

    def exchange_seconds(self, size: float, gpus: int) -> float:
        """Time of one message of so many bytes, all else at rest: each GPU sends and receives 2 (n − 1) / n of it."""
        if gpus == 1:
            return 0.0
        hosts = math.ceil(gpus / self.per_host)
        here = min(gpus, self.per_host)
        # What leaves a host goes through all its adapters at the same time.
        rate = self.within if hosts == 1 else min(self.within, self.per_host * self.between)
        steps = 2 * ((here - 1) * self.hop + math.log2(hosts) * self.host_hop)
        return self.message + steps + 2 * (gpus - 1) / gpus * size / rate


@dataclass(frozen=True)
class Layer:
    """A layer as backward comes to it.

    ``work`` is its share of backward's products. ``early`` are the bytes of each gradient that is sent as soon as it is
    there, ``late`` those that wait for the end of backward; ``weights`` counts all that it trains.
    """

    work: float
    early: tuple[int, ...]
    late: int
    weights: int


def layers_of(network: nn.Module, shape: Sequence[int], bf16: bool = True) -> list[Layer]:
    """The network's layers in the order in which backward comes to them, the reverse of forward's.

    Args:
        network: of any kind; nothing is computed where its weights are on torch's device ``meta``.
        shape: height and width of a picture.
        bf16: whether large weights' gradients are, and are sent early, see `segkit.speed.recorded_step`.
    """
    calls: list[tuple[nn.Module, float]] = []

    def note(module: nn.Module, inputs: Sequence[Tensor], output: Tensor) -> None:
        weight = getattr(module, "weight", None)
        work = 0.0
        if weight is not None and weight.dim() > 1:  # a product: at each place of the map each weight has its part
            transposed = isinstance(module, nn.ConvTranspose2d)
            work = weight.numel() * (inputs[0] if transposed else output).numel() / weight.shape[0]
        calls.append((module, work))

    own = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
    hooks = [module.register_forward_hook(note) for module in own]
    device = next(network.parameters()).device
    try:
        with torch.no_grad():
            # Two pictures: of one alone, a map of one pixel has no statistics.
            network.train()(torch.zeros(2, 3, *shape, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    whole = sum(work for _, work in calls) or 1.0
    layers = []
    seen: set[nn.Parameter] = set()
    for module, work in calls:  # of a layer that is called twice, backward comes to the first call last
        trained = [p for p in module.parameters(recurse=False) if p.requires_grad and p not in seen]
        seen.update(trained)
        counts = [parameter.numel() for parameter in trained]
        early = tuple(2 * count for count in counts if bf16 and count >= LARGE)
        late = sum(4 * count for count in counts if not (bf16 and count >= LARGE))
        layers.append(Layer(work / whole, early, late, sum(counts)))
    return layers[::-1]


@dataclass(frozen=True)
class Step:
    """A predicted step.

    ``exchange_ms`` is all of the exchange, ``hidden_ms`` what is beside backward, ``derived_ms`` the step without what
    `Machine.held_up` adds, ``efficiency`` the step of one GPU over ``step_ms``.
    """

    exchange_ms: float
    hidden_ms: float
    derived_ms: float
    step_ms: float
    efficiency: float


def predict(layers: Sequence[Layer], one_gpu_ms: float, gpus: int, machine: Machine | None = None) -> Step:
    """The step of ``gpus``, each with the batch with which one alone takes ``one_gpu_ms``."""
    machine = machine or Machine()
    if gpus == 1:
        return Step(0.0, 0.0, one_gpu_ms, one_gpu_ms, 1.0)
    alone = one_gpu_ms / 1000
    update = UPDATE_BYTES * sum(layer.weights for layer in layers) / machine.memory
    backward = machine.backward * max(0.0, alone - update)
    done = free = early = 0.0  # seconds of backward; when the link is free; what is sent meanwhile
    messages = 0
    for layer in layers:
        done += layer.work * backward
        for size in layer.early:
            took = machine.exchange_seconds(size, gpus)
            free = max(free, done) + took
            early += took
            messages += 1
    left = max(0.0, free - backward)
    hidden = early - left
    late = sum(layer.late for layer in layers)
    last = machine.exchange_seconds(late, gpus) if late else 0.0
    derived = alone + left + last + machine.contention * hidden
    step = derived + machine.held_up * messages
    return Step(1000 * (early + last), 1000 * hidden, 1000 * derived, 1000 * step, alone / step)


Row = Mapping[str, Any]


def layers_of_model(model: Mapping[str, Any], shape: Sequence[int], bf16: bool) -> list[Layer]:
    """`layers_of` the network of a composed ``model`` group, of which nothing is computed."""
    with torch.device("meta"):
        return layers_of(build_network({**model, "weights": None}), shape, bf16)


def model_table(layers: Sequence[Layer], alone: Sequence[Row], together: Sequence[Row], name: str, gpu: str) -> Table:
    """The prediction for each batch of ``alone`` on `COUNTS` of GPUs, beside what was measured.

    Args:
        layers: of the network that was measured.
        alone: rows of a table of `segkit.benchmarks.growth`: one GPU, several batches; those that failed have NaN, and
            those of another picture size than the first of all are left out.
        together: rows of the one along GPUs, whose own first row is the step of one GPU there; may be none.
        name: of the table.
        gpu: the one on which was measured.
    """
    first = (together or alone)[0]
    shape = (first["height"], first["width"])
    measured = {(row["batch_per_gpu"], row["gpus"]): row["step_ms"] for row in together}
    steps = {row["batch_per_gpu"]: row["step_ms"] for row in alone if (row["height"], row["width"]) == shape}
    steps |= {batch: step for (batch, gpus), step in measured.items() if gpus == 1}
    counts = sorted({*COUNTS, *(gpus for _, gpus in measured)})
    rows: list[dict[str, Any]] = []
    for batch, alone_ms in sorted(steps.items()):
        for gpus in counts:
            step = predict(layers, alone_ms, gpus)
            there = measured.get((batch, gpus)) if gpus > 1 else None
            row = {
                "height": shape[0],
                "width": shape[1],
                "batch_per_gpu": batch,
                "gpus": gpus,
                **asdict(step),
                "images_per_second": 1000 * batch * gpus / step.step_ms,
                "measured_step_ms": there,
                "error_percent": None if there is None else 100 * (step.step_ms / there - 1),
            }
            rows.append(row)
    remarks = [*_inputs(layers, gpu), *_smallest(rows, counts)]
    return Table(name, "Growth: a model of training along gpus, beside what was measured", rows, remarks)


def _inputs(layers: Sequence[Layer], gpu: str) -> Iterator[str]:
    machine = Machine()
    sizes = [size for layer in layers for size in layer.early]
    late = sum(layer.late for layer in layers)
    yield (
        f"steps of one GPU as measured on {gpu}; {rounded(sum(sizes) / 1e6)} MB of gradients in {len(sizes)} messages "
        f"beside backward, {rounded(late / 1e6)} MB after it"
    )
    yield (
        f"within a host {rounded(machine.within / 1e9)} GB/s each way, between hosts of {machine.per_host} GPUs "
        f"{rounded(machine.between / 1e9)} GB/s for each; backward loses {rounded(100 * machine.contention)} % of the "
        f"time that it shares, and {rounded(1000 * machine.held_up)} ms for each message"
    )


def _smallest(rows: Sequence[Row], counts: Sequence[int]) -> Iterator[str]:
    for gpus in counts:
        if gpus > 1:
            fit = [row["batch_per_gpu"] for row in rows if row["gpus"] == gpus and row["efficiency"] >= ENOUGH]
            said = f"from batch {min(fit)} on" if fit else "with none of these batches"
            yield f"{gpus} GPUs: efficiency of at least {ENOUGH} {said}"
