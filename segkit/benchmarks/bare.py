"""The bare loop: a training step and nothing else, no Lightning, no loader, no logging, random pictures on the device.

It is what a step costs when its kernels are all there is: bf16 autocast, channels last, network and loss compiled
together, fused Adam, and at batch 1 the whole step as one CUDA graph. Nothing of :mod:`segkit.speed` is in it. With
``smp`` the network is segmentation_models_pytorch's of the same name, and nothing is compiled: a plain loop.

:mod:`segkit.benchmarks.programs` starts it, and says what it is given.
"""

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.benchmarks.timing import median_step_ms
from segkit.config.instantiate import build
from segkit.losses.auxiliary import with_auxiliary

WARM_UP = 20
"""Steps before the first that is timed: compiling, choosing kernels and filling the allocator's pools are over then."""


def build_network(model: Mapping[str, Any]) -> nn.Module:
    """The network of both classes that all programs train: logits (B, 2, H, W) of pictures 0…255, (B, 3, H, W)."""
    network: nn.Module = build("model", model, nn.Module, num_classes=2)
    return network


SMP = {"UNetDecoder": "unet", "FPNDecoder": "fpn", "DeepLabV3PlusDecoder": "deeplabv3plus"}
"""segmentation_models_pytorch's names of decoders."""


def has_smp_name(model: Mapping[str, Any]) -> bool:
    """Whether segmentation_models_pytorch has a network of that name: decoder and encoder."""
    return model.get("decoder") is not None and model["decoder"]["_target_"].rpartition(".")[2] in SMP


def smp_network(model: Mapping[str, Any]) -> nn.Module:
    """segmentation_models_pytorch's network of a model's name, as it makes it, for pictures 0…255."""
    smp = importlib.import_module("segmentation_models_pytorch")
    name = SMP[model["decoder"]["_target_"].rpartition(".")[2]]
    return nn.Sequential(_Scaled(), smp.create_model(name, model["encoder"], encoder_weights=None, classes=2))


class _Scaled(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.float() / 255


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    return F.cross_entropy(logits.float(), label.long())


def measure(spec: dict[str, Any]) -> dict[str, float | None]:
    """Median ``step_ms`` and ``peak_memory_gib`` (None on the CPU) of a case."""
    device = torch.device("cpu" if spec["gpu"] is None else f"cuda:{spec['gpu']}")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    height, width, batch = spec["case"]
    torch.manual_seed(spec["seed"])
    smp = spec["smp"]
    network = smp_network(spec["model"]) if smp else build_network(spec["model"])
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[spec["algorithm"]]
    optimizer = kind(network.parameters(), lr=1e-4, fused=on_gpu, capturable=on_gpu)
    weights = [parameter.detach() for parameter in network.parameters()]
    averages = [weight.clone() for weight in weights] if spec["ema"] else []
    image = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, device=device).permute(0, 3, 1, 2)
    label = torch.randint(0, 2, (batch, height, width), dtype=torch.uint8, device=device)

    def loss_of(image: Tensor, label: Tensor) -> Tensor:
        # A graph's memory cannot hold what autocast would keep from one call to the next.
        with torch.autocast(device.type, torch.bfloat16, spec["precision"] == "bf16", cache_enabled=False):
            outputs = network(image)
        return with_auxiliary(cross_entropy, outputs, label)

    compute_loss = torch.compile(loss_of) if on_gpu and not smp else loss_of

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        compute_loss(image, label).backward()
        optimizer.step()
        if averages:
            torch._foreach_lerp_(averages, weights, 1 - spec["ema"])

    repeated = as_graph(step) if on_gpu and batch == 1 and not smp else step
    step_ms = median_step_ms(repeated, device, spec["steps"], min(WARM_UP, spec["steps"]))
    memory = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None
    return {"step_ms": step_ms, "peak_memory_gib": memory}


def as_graph(step: Callable[[], None]) -> Callable[[], None]:
    """``step`` recorded as a CUDA graph after a few calls that compile it; the graph replays it on the same tensors."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def main() -> None:
    """Measure what the command line's JSON says, and print the figures as JSON."""
    print(json.dumps(measure(json.loads(sys.argv[1]))))
