"""The network made fast for prediction, held against the network as it was."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from segkit.models.fcn import FCN
from segkit.speed.inference import InferenceNetwork, prediction_precision

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


def test_no_encoder_layer_is_computed_as_it_was(network: FCN) -> None:
    InferenceNetwork(network, CPU, bf16=False)
    kinds = {type(module) for module in network.encoder.modules()}
    assert not kinds & {nn.Conv2d, nn.BatchNorm2d, nn.ReLU}


def test_a_network_without_fc_layers() -> None:
    network = FCN(3, stride=16, fc_channels=None).eval()
    image = pictures(1, 32, 64)
    with torch.no_grad():
        expected = network(image)
    assert error_of(InferenceNetwork(network, CPU, bf16=False)(image), expected) < 1e-5


class Other(nn.Module):
    """A network of the user's own, which may do with its weights what it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(image.to(self.layers[0].weight.dtype) / 255)


@pytest.mark.parametrize("bf16", [False, True])
def test_another_network_computes_as_it_is(bf16: bool) -> None:
    network = Other().eval()
    image = pictures(2, 20, 30)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        expected = network.to(memory_format=torch.channels_last)(image)
    assert torch.equal(InferenceNetwork(network, CPU, bf16)(image), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_graph_is_replayed_with_each_new_picture(network: FCN) -> None:
    fast = InferenceNetwork(copy.deepcopy(network), torch.device("cuda"), bf16=False)
    images = [pictures(1, 64, 96) for _ in range(3)]
    first = [fast(image).clone() for image in images]
    assert not torch.equal(first[0], first[1])
    for image, logits in zip(images, first, strict=True):
        assert torch.equal(fast(image), logits)
        assert torch.equal(fast(image.cuda()), logits)


@pytest.mark.parametrize(
    ("there", "precision"),
    [({"avx512_f": True}, "fp32"), ({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({}, "fp32")],
)
def test_bf16_on_cpus_that_compute_in_it(there: dict, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: there)
    assert prediction_precision("auto", None) == precision
