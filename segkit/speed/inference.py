"""A trained network made fast for prediction: weights are folded, cast and laid out once instead of at every picture.

Its results are those of the network under autocast (bf16), or its own (fp32), within rounding.
"""

import copy
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segkit.speed.accelerate import accelerate, has_hooks, restore
from segkit.speed.cuda_graph import CudaGraph
from segkit.speed.fast_functions import FastFunctions
from segkit.speed.packed import Swap, neighbours, pack, swap

log = logging.getLogger(__name__)

TOLERANCE = {False: 2.0**-7, True: 2.0**-4}
"""Largest difference from the plain network's logits, as a share of the largest of them, in fp32 and in bf16: 16
roundings of a GPU's TF32 (2⁻¹¹), and 32 of bfloat16 (2⁻⁹), of which the plain network makes as many of its own."""

GRAPHS = 16
"""Shapes of images for which the network is recorded: each recording keeps the memory of all its feature maps."""


class InferenceNetwork:
    """Logits of batches of pictures, from a network that is no longer trained: it is taken over, and changed.

    Batch normalisation is folded into the convolution before it, convolutions are cast once, on a CPU they are laid out
    for oneDNN once, and on a GPU all is recorded for each of the first `GRAPHS` shapes of image; others are computed
    call by call. With the first picture the network is held against itself as it was, each recording against the
    network. Where logits differ by more than `TOLERANCE`, or something fails, it computes as it was, and one log line
    says why.

    Args:
        network: ``forward(image uint8 (B, 3, H, W)) -> logits (B, C, H, W)``, in fp32.
        device: where it is to compute.
        bf16: compute in bfloat16 what autocast would.
    """

    def __init__(self, network: nn.Module, device: torch.device, bf16: bool) -> None:
        self.device, self.bf16 = device, bf16
        self._network = network.eval().requires_grad_(False)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._prepared = False
        self._functions: Callable[[], AbstractContextManager[Any]] = nullcontext
        self._graphs: dict[torch.Size, CudaGraph | None] = {}

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Tensor:
        """Logits (B, C, H, W) on the network's device, of RGB uint8 (B, 3, H, W), 0…255, on any device.

        On a GPU they may lie where the next call for the same shape of image puts its own.
        """
        on_gpu = self.device.type == "cuda"
        with torch.cuda.device(self.device) if on_gpu else nullcontext():
            if not self._prepared:
                self._prepare(image.to(self.device))
            if on_gpu and image.shape not in self._graphs and len(self._graphs) < GRAPHS:
                self._graphs[image.shape] = self._record(image.to(self.device))
            graph = self._graphs.get(image.shape)
            return self._logits(image.to(self.device)) if graph is None else graph(image)

    def _logits(self, image: Tensor) -> Tensor:
        # Without autocast's cache of cast weights: there is nothing to cast, and a graph must not depend on it.
        with (
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False),
            self._functions(),
        ):
            return self._network(image)

    def _prepare(self, image: Tensor) -> None:
        """Change the network for speed, and back if it does not give the same logits then."""
        expected = self._logits(image)
        swaps: list[Swap] = []
        try:
            with torch.inference_mode(False), torch.no_grad():
                fold_batch_norm(self._network, swaps)  # before the cast: weights are to be rounded once
                if self.bf16:
                    _cast_convolutions(self._network, swaps)
                if self.device.type == "cpu" and torch.backends.mkldnn.is_available():
                    pack(self._network, swaps)
                if self.device.type == "cuda":
                    accelerate(self._network)
                    self._functions = FastFunctions
            reason = self._difference(self._logits(image), expected)
        except Exception as error:  # a network may look at its layers in any way
            reason = f"{type(error).__name__}: {error}"
        if reason is not None:
            log.info("fast prediction: off, %s", reason)
            self._functions = nullcontext
            restore(self._network)
            for module, name, layer in reversed(swaps):
                module._modules[name] = layer
        self._prepared = True

    def _record(self, image: Tensor) -> CudaGraph | None:
        """The network for one shape of image as a CUDA graph, or None if that gives other logits."""
        cudnn = torch.backends.cudnn
        # What a graph holds runs again and again: it is worth trying which of cuDNN's algorithms is the fastest, of
        # those that give the same picture the same bits every time.
        before, (cudnn.benchmark, cudnn.deterministic) = (cudnn.benchmark, cudnn.deterministic), (True, True)
        other = torch.empty_like(image).copy_(image.flip(-1))  # a picture of which nothing may stay in the graph
        try:
            graph = CudaGraph(self._logits, other)
            reason = self._difference(graph(image), self._logits(image))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        finally:
            cudnn.benchmark, cudnn.deterministic = before
        if reason is None:
            return graph
        log.info("prediction is not recorded, %s", reason.partition("\n")[0])
        return None

    def _difference(self, logits: Tensor, expected: Tensor) -> str | None:
        """How logits differ from those expected by more than rounding, or None."""
        if logits.shape != expected.shape:
            return f"its logits have the shape {tuple(logits.shape)} instead of {tuple(expected.shape)}"
        largest, apart = float(expected.abs().max()), float((logits.float() - expected.float()).abs().max())
        if apart <= TOLERANCE[self.bf16] * largest:
            return None
        return f"its logits are {apart:.3g} off, the plain ones reach {largest:.3g}"


def fold_batch_norm(network: nn.Module, swaps: list[Swap]) -> None:
    """Put what batch normalisation does in evaluation into the convolution registered before it.

    The folded one stands in the normalisation's place, beside its ReLU; no other layer changes its place.
    """
    for module, (name, conv), (following, norm) in list(neighbours(network)):
        if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.num_features == conv.out_channels:
            if norm.running_mean is None or has_hooks(conv) or has_hooks(norm):
                continue
            swap(swaps, module, following, fuse_conv_bn_eval(conv, norm))
            swap(swaps, module, name, nn.Identity())


def _cast_convolutions(network: nn.Module, swaps: list[Swap]) -> None:
    """Round their weights to bfloat16 once; all else, the normalisation of pictures above all, stays in fp32."""
    for module in list(network.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                cast = copy.copy(layer)
                cast._parameters = {
                    key: None if value is None else nn.Parameter(value.bfloat16(), requires_grad=False)
                    for key, value in layer._parameters.items()
                }
                swap(swaps, module, name, cast)
