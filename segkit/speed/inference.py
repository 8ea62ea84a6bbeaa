"""A trained network made fast for prediction: weights are folded, cast and laid out once instead of at every picture.

Its results are those of the network under autocast (bf16), or its own (fp32), within rounding.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segkit.distributed.devices import lightning_precision
from segkit.models.decoders.fcn import FCNDecoder
from segkit.models.encoders.vgg import VGGEncoder
from segkit.models.fcn import FCN

WARM_UP = 3
"""Calls before a CUDA graph is captured, in which libraries choose their kernels and allocate what they keep."""


class InferenceNetwork:
    """Logits of batches of pictures, from a network that is no longer trained: it is taken over, and changed.

    Args:
        network: ``forward(image uint8 (B, 3, H, W)) -> logits (B, C, H, W)``, in fp32. One whose ``encoder`` is a
            `VGGEncoder` is changed for speed; any other computes as it is.
        device: where it is to compute.
        bf16: compute in bfloat16 what autocast would.
    """

    def __init__(self, network: nn.Module, device: torch.device, bf16: bool) -> None:
        self.device, self.bf16 = device, bf16
        self._network = network.eval().requires_grad_(False)
        encoder = getattr(network, "encoder", None)
        # Of others nobody knows whether all that they do is on the GPU, as a graph has to have it.
        self._known = isinstance(network, FCN) and isinstance(network.decoder, FCNDecoder)
        if isinstance(encoder, VGGEncoder):
            for layers in (encoder.features, encoder):  # before the cast: weights are to be rounded once
                _fold_batch_norm(layers)
            if bf16:
                _cast_convolutions(network)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if isinstance(encoder, VGGEncoder) and device.type == "cpu" and torch.backends.mkldnn.is_available():
            _pack(encoder)
        self._graphs: dict[torch.Size, _Graph] = {}

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Tensor:
        """Logits (B, C, H, W) on the network's device, of RGB uint8 (B, 3, H, W), 0…255, on any device.

        On a GPU they lie where the next call for the same shape of image puts its own.
        """
        if self.device.type != "cuda" or not self._known:
            return self._logits(image.to(self.device))
        with torch.cuda.device(self.device):
            if image.shape not in self._graphs:
                self._graphs[image.shape] = _Graph(self._logits, image.to(self.device))
            return self._graphs[image.shape](image)

    def _logits(self, image: Tensor) -> Tensor:
        # Without autocast's cache of cast weights: there is nothing to cast, and a graph must not depend on it.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            return self._network(image)


def prediction_precision(precision: Literal["auto", "fp32", "bf16"], gpu: int | None) -> Literal["fp32", "bf16"]:
    """``auto`` is bf16 where the device computes in it by itself: most GPUs, and CPUs with AVX-512 BF16 or AMX.

    Args:
        precision: as asked for.
        gpu: device number, or None for the CPU.
    """
    if precision != "auto":
        return precision
    if gpu is None:
        there = torch.cpu.get_capabilities()
        return "bf16" if there.get("avx512_bf16") or there.get("amx_bf16") else "fp32"
    return "bf16" if lightning_precision("auto", True) == "bf16-mixed" else "fp32"


class _Graph:
    """A network's kernels for one shape of image, started as one: at batch 1, starting each takes longer than it runs.

    Other threads may use the GPU meanwhile (``thread_local``).
    """

    def __init__(self, network: Callable[[Tensor], Tensor], image: Tensor) -> None:
        self._image = image.clone()
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        # What a graph holds runs again and again: it is worth trying which of cuDNN's algorithms is the fastest, of
        # those that give the same picture the same bits every time.
        cudnn = torch.backends.cudnn
        before, (cudnn.benchmark, cudnn.deterministic) = (cudnn.benchmark, cudnn.deterministic), (True, True)
        try:
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP):
                    network(self._image)
            here.wait_stream(aside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._logits = network(self._image)
        finally:
            cudnn.benchmark, cudnn.deterministic = before

    def __call__(self, image: Tensor) -> Tensor:
        self._image.copy_(image)
        self._graph.replay()
        return self._logits


class PackedConvolution(nn.Module):
    """A convolution on the CPU, and ReLU after it or not, whose weights oneDNN lays out once: for the first image's
    size; other sizes are computed rightly, but slower.

    nn.Conv2d has its weights laid out anew at every call, which for fc6 and fc7 takes longer than to multiply by them.
    The operators are those that torch.compile puts in its place; called like this they need no compiler.
    """

    def __init__(self, layer: nn.Conv2d, relu: bool) -> None:
        super().__init__()
        self._weight = layer.weight.detach()
        self._bias = layer.bias
        self._geometry = layer.padding, layer.stride, layer.dilation, layer.groups
        self._activation = "relu" if relu else "none"

    def forward(self, image: Tensor) -> Tensor:
        image = image.to(self._weight.dtype, memory_format=torch.channels_last)
        if not self._weight.is_mkldnn:
            weight = self._weight.contiguous().to_mkldnn()
            self._weight = torch.ops.aten.mkldnn_reorder_conv2d_weight(weight, *self._geometry, image.shape)
        return torch.ops.mkldnn._convolution_pointwise(
            image, self._weight, self._bias, *self._geometry, self._activation, [], ""
        )


def _fold_batch_norm(layers: nn.Sequential) -> None:
    """Put what batch normalisation does in evaluation into the convolutions before it, each then beside its ReLU.

    No layer but these changes its place, by which a `VGGEncoder` knows what it gives out.
    """
    for index, (layer, following) in enumerate(pairwise(layers)):
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            layers[index], layers[index + 1] = nn.Identity(), fuse_conv_bn_eval(layer, following)


def _cast_convolutions(network: nn.Module) -> None:
    """Round their weights to bfloat16 once; all else, the normalisation of pictures above all, stays in fp32."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.to(torch.bfloat16)


def _pack(encoder: VGGEncoder) -> None:
    """Put packed convolutions in the place of the encoder's, each with the ReLU that follows."""
    for layers in (encoder.features, encoder):
        for index, (layer, following) in enumerate(pairwise(layers)):
            if isinstance(layer, nn.Conv2d) and isinstance(following, nn.ReLU):
                layers[index], layers[index + 1] = PackedConvolution(layer, relu=True), nn.Identity()
