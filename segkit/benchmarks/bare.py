"""The bare loop: a training step and nothing else, no Lightning, no loader, no logging, random pictures on the device.

It is what a step costs when its kernels are all there is: bf16 autocast, channels last, network and loss compiled
together, fused Adam, and at batch 1 the whole step as one CUDA graph. The network is made of stock layers, so that this
program owes nothing to what makes :mod:`segkit.models` fast.

``python -m segkit.benchmarks.bare '{"gpu": 0, "precision": "bf16", "cases": [[160, 576, 16]], …}'`` prints its figures
as JSON in its last line; :mod:`segkit.benchmarks.programs` says what it is given.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from segkit.benchmarks.timing import median_step_ms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""RGB mean and standard deviation of values 0…1 under which torchvision trained its networks."""

WARM_UP = 20
"""Steps before the first that is timed: compiling, choosing kernels and filling the allocator's pools are over then."""


class FCN8s(nn.Module):
    """FCN-8s on torchvision's VGG16, two classes, written down as directly as it can be.

    Args:
        encoder: ``vgg16`` or ``vgg16_bn``.
        fc_channels: width of fc6 and fc7.
    """

    def __init__(self, encoder: str, fc_channels: int) -> None:
        super().__init__()
        # Not by way of the whole network, whose classifier would be 124 M random numbers to draw and throw away.
        features = make_layers(cfgs["D"], batch_norm=encoder == "vgg16_bn")
        pool3, pool4 = [i + 1 for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)][2:4]
        self.to_pool3, self.to_pool4, self.to_pool5 = features[:pool3], features[pool3:pool4], features[pool4:]
        self.fc6 = nn.Conv2d(512, fc_channels, 7, padding=3)
        self.fc7 = nn.Conv2d(fc_channels, fc_channels, 1)
        self.dropout = nn.Dropout(0.2)
        self.score = nn.Conv2d(fc_channels, 2, 1)
        self.score_pool4 = nn.Conv2d(512, 2, 1)
        self.score_pool3 = nn.Conv2d(256, 2, 1)
        self.enlarge_top = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
        self.enlarge_pool4 = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
        self.enlarge_pool3 = nn.ConvTranspose2d(2, 2, 16, stride=8, padding=4)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 2, H, W) of normalised pictures, float (B, 3, H, W) of any size."""
        height, width = image.shape[-2:]
        pool3 = self.to_pool3(F.pad(image, (0, -width % 32, 0, -height % 32)))
        pool4 = self.to_pool4(pool3)
        top = self.dropout(self.fc6(self.to_pool5(pool4)).relu())
        top = self.dropout(self.fc7(top).relu())
        logits = self.enlarge_top(self.score(top)) + self.score_pool4(0.01 * pool4)
        logits = self.enlarge_pool4(logits) + self.score_pool3(0.0001 * pool3)
        return self.enlarge_pool3(logits)[..., :height, :width]


def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """Under ``cases`` what ``measure_case`` says of each."""
    device = torch.device("cpu" if spec["gpu"] is None else f"cuda:{spec['gpu']}")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return {"cases": [measure_case(spec, case, device) for case in spec["cases"]]}


def measure_case(spec: dict[str, Any], case: Sequence[int], device: torch.device) -> dict[str, float | None]:
    """Median ``step_ms`` and ``peak_memory_gib`` (None on the CPU)."""
    on_gpu = device.type == "cuda"
    height, width, batch = case
    torch.manual_seed(spec["seed"])
    if on_gpu:
        torch._dynamo.reset()  # or the second case would be compiled for any size
        torch.cuda.init()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    network = FCN8s(spec["encoder"], spec["fc_channels"]).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=on_gpu, capturable=on_gpu)
    image = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, device=device).permute(0, 3, 1, 2)
    mean, std = (255 * torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, STD))
    label = torch.randint(0, 2, (batch, height, width), dtype=torch.uint8, device=device)

    def loss_of(image: Tensor, label: Tensor) -> Tensor:
        # A graph's memory cannot hold what autocast would keep from one call to the next.
        with torch.autocast(device.type, torch.bfloat16, spec["precision"] == "bf16", cache_enabled=False):
            logits = network((image - mean) / std)
        return F.cross_entropy(logits.float(), label.long())

    compute_loss = torch.compile(loss_of) if on_gpu else loss_of

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        compute_loss(image, label).backward()
        optimizer.step()

    repeated = as_graph(step) if on_gpu and batch == 1 else step
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


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
