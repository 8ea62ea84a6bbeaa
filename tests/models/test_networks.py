"""Every encoder with every decoder, and torchvision's whole networks: what any network has to stand."""

import io
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segkit.models.base import EncoderDecoder
from segkit.models.decoders.deeplabv3plus import DeepLabV3PlusDecoder
from segkit.models.decoders.fcn import FCNDecoder
from segkit.models.decoders.fpn import FPNDecoder
from segkit.models.decoders.unet import UNetDecoder
from segkit.models.fcn import FCN
from segkit.models.torchvision import TorchvisionNetwork

ENCODERS = [
    *("vgg16", "vgg16_bn", "resnet18", "resnet34", "resnet50", "mobilenet_v3_large", "convnext_tiny"),
    *("timm/resnet10t", "timm/convnext_atto", "timm/mobilenetv3_small_050"),
]
DECODERS: dict[str, Callable[..., nn.Module]] = {
    "fcn": partial(FCNDecoder, skip_scale=(0.1, 0.1)),
    "unet": partial(UNetDecoder, width=4),
    "fpn": partial(FPNDecoder, width=8, head_width=8),
    "fpn with all": partial(FPNDecoder, width=8, head_width=8, pyramid_pooling=True, auxiliary=True),
    "deeplabv3plus": partial(DeepLabV3PlusDecoder, width=8, low_width=4),
    "deeplabv3plus with all": partial(DeepLabV3PlusDecoder, width=8, low_width=4, rates=[1, 2], auxiliary=True),
}
Build = Callable[[], nn.Module]
NETWORKS: dict[str, Build] = {
    f"{encoder}-{name}": partial(EncoderDecoder, 3, encoder, decoder)
    for encoder in ENCODERS
    for name, decoder in DECODERS.items()
    if encoder == "resnet18" or f"{name} with all" not in DECODERS  # all parts once, and less of them once
}
NETWORKS |= {
    f"{encoder}-dilated": partial(EncoderDecoder, 3, encoder, DECODERS["deeplabv3plus with all"], output_stride=16)
    for encoder in ("resnet18", "resnet50", "mobilenet_v3_large", "timm/resnet10t")
}
NETWORKS["fcn with fc6 and fc7"] = partial(FCN, 3, encoder="vgg16_bn", fc_channels=8, batch_norm_fc=True)
NETWORKS |= {
    name: partial(TorchvisionNetwork, 3, name)
    for name in ("deeplabv3_resnet50", "deeplabv3_mobilenet_v3_large", "fcn_resnet50", "lraspp_mobilenet_v3_large")
}
every_network = pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)


def picture(*size: int) -> Tensor:
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def seeded(build: Build) -> nn.Module:
    torch.manual_seed(0)
    return build()


def outputs(result: Tensor | tuple[Tensor, list[Tensor]]) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else [result[0], *result[1]]


def shortened(network: nn.Module) -> nn.Module:
    """Without the blocks of a stage that are as the one before: the same operators again."""
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for (_, before), (name, block) in list(pairwise(module.named_children())):
                if len(list(block.children())) > 0 and _shapes(block) == _shapes(before):
                    setattr(module, name, nn.Identity())
    return network


def _shapes(block: nn.Module) -> tuple[type, list[torch.Size]]:
    return type(block), [value.shape for value in block.state_dict().values()]


def close(result: Tensor, expected: Tensor, share: float) -> None:
    """Within a share of the largest logit."""
    assert (result.float() - expected).abs().max() <= share * expected.abs().max()


@every_network
def test_training_on_one_picture_of_odd_size_reaches_every_parameter(build: Build) -> None:
    network = seeded(build).train()
    logits = outputs(network(picture(1, 3, 33, 47)))
    loss = sum(F.cross_entropy(part, picture(1, 33, 47).long() % 3) for part in logits)
    assert all(part.shape == (1, 3, 33, 47) for part in logits)
    loss.backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@every_network
@torch.no_grad()
def test_evaluation_gives_logits_alone_and_the_same_in_every_layout_and_from_its_file(build: Build) -> None:
    network = seeded(build).eval()
    image = picture(2, 3, 40, 70)
    logits = network(image)
    assert logits.shape == (2, 3, 40, 70)
    assert logits.dtype == torch.float32

    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    torch.manual_seed(1)
    other = build().eval()
    assert not torch.equal(other(image), logits)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(image), logits)

    other.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    close(other(image.contiguous(memory_format=torch.channels_last)), logits, 1e-4)
    with torch.autocast("cpu", torch.bfloat16):  # of few pixels: processors without bfloat16 take 40 times as long
        assert network(image[..., :32, :32]).isfinite().all()


class Steps(nn.Module):
    """The smallest encoder: a convolution per halving. Compilers take their time over each layer of a larger one."""

    channels, strides, in_channels = [4, 8, 8, 8, 8], [2, 4, 8, 16, 32], 3
    mean, std = (0.0, 0.5, 1.0), (1.0, 0.5, 0.25)

    def __init__(self, depth: int = 5) -> None:
        super().__init__()
        self.channels, self.strides = self.channels[:depth], self.strides[:depth]
        widths = [3, *self.channels]
        self.steps = nn.ModuleList(nn.Conv2d(*pair, 3, stride=2, padding=1) for pair in pairwise(widths))

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [image]
        for step in self.steps:
            maps.append(step(maps[-1]).relu())
        return maps[1:]


# The encoders once each; the decoders are compiled below.
CAPTURED = {name: build for name, build in NETWORKS.items() if "-fcn" in name or "-" not in name}


@pytest.mark.parametrize("build", CAPTURED.values(), ids=CAPTURED)
@torch.no_grad()
def test_it_is_captured_in_one_graph(build: Build) -> None:
    torch._dynamo.reset()
    network = seeded(build).eval()
    image = picture(2, 3, 33, 47)
    torch.testing.assert_close(torch.compile(network, backend="eager", fullgraph=True)(image), network(image))


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
def test_a_compiled_training_step_has_the_same_gradients(decoder: Callable[..., nn.Module]) -> None:
    torch._dynamo.reset()
    image, label = picture(2, 3, 33, 47), picture(2, 33, 47).long() % 3

    def gradients(compiled: bool) -> list[Tensor]:
        network = seeded(lambda: EncoderDecoder(3, Steps(), decoder)).train()
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        step = torch.compile(network, backend="aot_eager", fullgraph=True) if compiled else network
        sum(F.cross_entropy(part, label) for part in outputs(step(image))).backward()
        return [p.grad for p in network.parameters() if p.grad is not None]

    for one, other in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_inductor_compiles_it() -> None:
    torch._dynamo.reset()
    network = seeded(lambda: EncoderDecoder(3, Steps(2), DECODERS["unet"])).eval()
    image = picture(1, 3, 33, 47)
    close(torch.compile(network)(image), network(image), 1e-4)


def test_the_encoder_sees_its_own_normalisation_and_zeros_beyond_the_picture() -> None:
    network = EncoderDecoder(2, Steps(), DECODERS["unet"])
    seen = []
    network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.tensor([0.0, 127.5, 255.0]).view(1, 3, 1, 1).expand(1, 3, 33, 20))
    assert seen[0].shape == (1, 3, 64, 32)
    assert seen[0][0, :, 32, 19].tolist() == pytest.approx([0, 0, 0])
    assert not seen[0][0, :, 33:].any()
    assert not seen[0][0, :, :, 20:].any()
    network(torch.zeros(1, 3, 32, 32))
    assert seen[1][0, :, 0, 0].tolist() == pytest.approx([0, -1, -4])


@pytest.mark.parametrize("name", ["resnet18-fpn with all", "resnet18-deeplabv3plus", "convnext_tiny-unet"])
def test_training_steps_repeat_bit_for_bit(name: str) -> None:
    def step() -> list[Any]:
        network = seeded(NETWORKS[name]).train()
        sum(part.square().sum() for part in outputs(network(picture(2, 3, 64, 64)))).backward()
        return [p.grad for p in network.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(step(), step(), strict=True))


@pytest.mark.parametrize("name", ["resnet18-fpn with all", "deeplabv3_mobilenet_v3_large"])
@torch.no_grad()
def test_it_exports_with_any_size_of_batch(name: str) -> None:
    network = seeded(NETWORKS[name]).eval()
    dynamic = {"image": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(network, (picture(2, 3, 33, 47),), dynamic_shapes=dynamic).module()
    image = 255 - picture(3, 3, 33, 47)
    torch.testing.assert_close(exported(image), network(image))
