"""The network made fast for prediction, held against the network as it was."""

import copy
import logging
from typing import Any

import pytest
import torch
from torch import nn

from segkit.models.encoders import build_encoder
from segkit.models.fcn import FCN
from segkit.speed import inference
from segkit.speed.inference import InferenceNetwork
from segkit.speed.packed import PackedBlock, PackedConvolution

CPU = torch.device("cpu")
DEVICES = [
    CPU,
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


@pytest.fixture(params=["vgg16", "vgg16_bn"])
def network(request: pytest.FixtureRequest) -> FCN:
    """Batch normalisation, where there is any, as training leaves it: statistics and factors of every channel's own."""
    torch.manual_seed(0)
    network = FCN(2, encoder=request.param, fc_channels=16, skip_scale=(1, 1)).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.2)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
                module.weight.uniform_(0.5, 2)
                module.bias.normal_(std=0.2)
    return network


def pictures(*shape: int) -> torch.Tensor:
    """As they come from files: rows, columns, channels in memory."""
    batch, height, width = shape
    return torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8).permute(0, 3, 1, 2)


@torch.no_grad()
def error_of(logits: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference as a share of the largest logit."""
    assert logits.shape == expected.shape
    return float((logits.cpu().float() - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("device", DEVICES)
def test_in_fp32_the_logits_are_the_networks_own(network: FCN, device: Any) -> None:
    fast = InferenceNetwork(copy.deepcopy(network), torch.device(device), bf16=False)
    limit = 1e-5 if device is CPU else 5e-3  # TF32
    # The weights are laid out for the first size; others, and larger batches, are as right.
    for shape in [(1, 64, 96), (1, 37, 61), (3, 64, 96), (1, 64, 96)]:
        image = pictures(*shape)
        with torch.no_grad():
            assert error_of(fast(image), network(image)) < limit, shape


@pytest.mark.parametrize("device", DEVICES)
def test_in_bf16_it_is_no_further_off_than_autocast(network: FCN, device: Any) -> None:
    device = torch.device(device)
    fast = InferenceNetwork(copy.deepcopy(network), device, bf16=True)
    for seed in range(3):
        torch.manual_seed(seed)
        image = pictures(1, 64, 96)
        with torch.no_grad():
            expected = network(image)
            with torch.autocast("cpu", torch.bfloat16):
                usual = error_of(network(image), expected)
        assert 0 < error_of(fast(image), expected) < max(2 * usual, 0.02)


def test_no_convolution_is_computed_as_it_was(network: FCN) -> None:
    InferenceNetwork(network, CPU, bf16=False)(pictures(1, 32, 64))
    kinds = {type(module) for module in network.modules()}
    assert not kinds & {nn.Conv2d, nn.BatchNorm2d, nn.ReLU}


def test_a_network_without_fc_layers() -> None:
    network = FCN(3, stride=16, fc_channels=None).eval()
    image = pictures(1, 32, 64)
    with torch.no_grad():
        expected = network(image)
    assert error_of(InferenceNetwork(network, CPU, bf16=False)(image), expected) < 1e-5


@pytest.mark.parametrize("size", [(2, 4), (1, 2), (1, 1)])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_sum_within_a_convolution_is_of_maps_of_any_size(size: tuple[int, int], batch: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 8, 3, padding=1)
    packed = PackedConvolution(conv, "relu")
    with torch.inference_mode():
        for shape in ((1, 8, 4, 4), (batch, 8, *size)):
            image, added = torch.randn(2, *shape)
            torch.testing.assert_close(packed(image, added), (conv(image) + added).relu())


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v3_large"])
def test_encoders_of_torchvision(name: str, bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums and activations are within the convolutions, and the feature maps are the encoder's own."""
    torch.manual_seed(0)
    monkeypatch.setattr(inference, "TOLERANCE", {bf16: 1.0})  # of random weights rounding grows from block to block
    encoder = build_encoder(name)
    normalised(*encoder.modules())
    for module in encoder.modules():  # as training leaves it: values neither vanish nor grow from block to block
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network = TopMap(encoder)
    image = pictures(2, 64, 96)
    with torch.no_grad():
        network.train()(image)
        expected = network.eval()(image)
        with torch.autocast("cpu", torch.bfloat16):
            usual = error_of(network(image), expected)
    fast = InferenceNetwork(network, CPU, bf16)
    assert error_of(fast(image), expected) < (1.5 * usual if bf16 else 1e-3)
    kinds = [type(module) for module in network.modules()]
    if bf16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():  # it takes AVX-512 or avx_ne_convert
        assert not set(kinds) & {PackedBlock, PackedConvolution}
        assert nn.BatchNorm2d in kinds
        return
    assert kinds.count(PackedBlock) == {"resnet18": 8, "resnet50": 16}.get(name, 0)
    assert not set(kinds) & {nn.Conv2d, nn.BatchNorm2d, nn.ReLU if name.startswith("resnet") else nn.Hardswish}


class TopMap(nn.Module):
    """An encoder's coarsest feature map."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        coarsest: torch.Tensor = self.encoder(image / 255)[-1]
        return coarsest


def normalised(*layers: nn.Module) -> nn.Sequential:
    """Layers, their batch normalisation as training leaves it."""
    torch.manual_seed(0)
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            nn.init.uniform_(layer.weight, 0.5, 2)
    return nn.Sequential(*layers)


class Other(nn.Module):
    """A network of the user's own, with layers of every kind, in a Sequential and outside of one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = normalised(
            nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, dilation=2, padding=2, groups=4), nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
            nn.Conv2d(8, 8, 3, padding="same"),
            nn.MaxPool2d(3, 1, 1),
        )  # fmt: skip
        self.conv, self.norm = normalised(nn.Conv2d(8, 2, 1), nn.BatchNorm2d(2))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(self.layers(image / 255)))


class Stubborn(Other):
    """Looks at what its layers are."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return super().forward(image.to(self.layers[0].weight.dtype))


class Between(Other):
    """Takes a map from between a convolution and its batch normalisation."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers[0](image / 255)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records]


@pytest.mark.parametrize("device", DEVICES)
def test_another_network_is_folded_and_packed_too(device: Any, caplog) -> None:
    network = Other().eval()
    image = pictures(2, 20, 30)
    with torch.no_grad():
        expected = network(image)
    with caplog.at_level(logging.INFO):
        fast = InferenceNetwork(network, torch.device(device), bf16=False)
        assert error_of(fast(image), expected) < (1e-5 if device is CPU else 5e-3)
    assert told(caplog) == []
    kinds = [type(module) for module in network.modules()]
    assert nn.BatchNorm2d not in kinds
    if device is CPU:
        assert kinds.count(PackedConvolution) == 3
        assert kinds.count(nn.Conv2d) == 2  # of paddings that oneDNN does not know


@pytest.mark.parametrize("kind", [Stubborn, Between])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_network_that_would_give_other_logits_computes_as_it_is(kind: Any, bf16: bool, caplog) -> None:
    network = kind().eval()
    image = pictures(2, 20, 30)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        expected = network.to(memory_format=torch.channels_last)(image)
    fast = InferenceNetwork(network, CPU, bf16)
    with caplog.at_level(logging.INFO):
        assert torch.equal(fast(image), expected)
        assert torch.equal(fast(image), expected)
    (line,) = told(caplog)
    assert line.startswith("fast prediction: off, ")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_what_cannot_be_recorded_is_computed_anew(caplog) -> None:
    class Waits(Other):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(image) * (2 if float(image.float().mean()) > 100 else 1)

    network = Waits().eval()
    images = [pictures(2, 20, 30), pictures(2, 20, 30) // 4]
    with torch.no_grad():
        expected = [network(image) for image in images]
    fast = InferenceNetwork(network, torch.device("cuda"), bf16=False)
    with caplog.at_level(logging.INFO):
        for image, logits in zip(images, expected, strict=True):
            assert error_of(fast(image), logits) < 5e-3
    (line,) = told(caplog)
    assert line.startswith("prediction is not recorded, ")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_graph_is_replayed_with_each_new_picture(network: FCN) -> None:
    fast = InferenceNetwork(copy.deepcopy(network), torch.device("cuda"), bf16=False)
    images = [pictures(1, 64, 96) for _ in range(3)]
    first = [fast(image).clone() for image in images]
    assert not torch.equal(first[0], first[1])
    for image, logits in zip(images, first, strict=True):
        assert torch.equal(fast(image), logits)
        assert torch.equal(fast(image.cuda()), logits)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_pictures_of_many_sizes_do_not_fill_the_memory_with_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "GRAPHS", 2)
    network = Other().eval()
    plain = copy.deepcopy(network)
    fast = InferenceNetwork(network, torch.device("cuda"), bf16=False)
    for width in (30, 40, 50, 60, 30, 50):
        image = pictures(1, 20, width)
        with torch.no_grad():
            assert error_of(fast(image), plain(image)) < 5e-3
    assert [shape[-1] for shape in fast._graphs] == [30, 40]
