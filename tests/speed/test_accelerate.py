"""Swapped layers, held against the network as it was; their kernels in Triton's interpreter where there is no GPU."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segkit.models.encoders.torchvision import TorchvisionEncoder
from segkit.models.fcn import FCN
from segkit.speed import accelerate as module
from segkit.speed import convolution
from segkit.speed.accelerate import FusedConv, accelerate, idle_biases, restore
from segkit.speed.inference import fold_batch_norm
from tests.models.test_networks import shortened

LAST = torch.channels_last


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("torch.backends.cudnn.allow_tf32", False)
    monkeypatch.setattr("torch.backends.cudnn.deterministic", True)  # else sums differ from call to call
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        yield


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Has the kernels used in fp32 too, and counts their calls."""
    pytest.importorskip("triton", reason="Triton comes with torch's CUDA builds alone")
    monkeypatch.setattr(module.fused_ops, "applies", lambda image, layer: True)
    calls: dict[str, int] = {}

    def counted(name: str, kernel: Callable) -> Callable:
        def call(*given: Any, **rest: Any) -> Tensor:
            calls[name] = calls.get(name, 0) + 1
            return kernel(*given, **rest)

        return call

    for name in ("with_bias", "finished", "bias_relu", "bias_relu_pool", "first_layer"):
        monkeypatch.setattr(module.fused_ops, name, counted(name, getattr(module.fused_ops, name)))
    monkeypatch.setattr(convolution, "conv_as_matmul", counted("conv_as_matmul", convolution.conv_as_matmul))
    monkeypatch.setattr(module.fused_norm, "conv_norm", counted("conv_norm", module.fused_norm.conv_norm))
    return calls


def conv(inside: int = 16, out: int = 16, size: int = 3, **rest: int | str | bool) -> nn.Conv2d:
    return nn.Conv2d(inside, out, size, **{"padding": size // 2, **rest})  # type: ignore[arg-type]


def test_names_parameters_positions_and_results_stay() -> None:
    network = FCN(2, fc_channels=8).eval()
    state, parameters = list(network.state_dict()), dict(network.named_parameters())
    image = torch.randint(0, 256, (1, 3, 32, 64), dtype=torch.uint8)
    expected = network(image)
    swapped = accelerate(network)
    assert len(swapped) == 18  # 13 of VGG16, fc6 and fc7, three that score
    assert accelerate(network) == []
    assert list(network.state_dict()) == state
    assert all(weight is parameters[name] for name, weight in network.named_parameters())
    torch.testing.assert_close(network(image), expected)
    restore(network)
    assert not any(isinstance(layer, FusedConv) for layer in network.modules())
    torch.testing.assert_close(network(image), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("layers", "used"),
    [
        (lambda: [conv(), nn.ReLU()], {"bias_relu": 1}),
        (lambda: [conv(), nn.ReLU(), nn.MaxPool2d(2)], {"bias_relu_pool": 1}),
        (lambda: [conv(3), nn.ReLU(inplace=True)], {"first_layer": 1}),
        (lambda: [conv(3, 24), nn.ReLU()], {"bias_relu": 1}),
        (lambda: [conv(3), nn.ReLU(), nn.MaxPool2d(2)], {"bias_relu_pool": 1}),
        (lambda: [conv(size=7, out=8), nn.ReLU()], {"conv_as_matmul": 1, "bias_relu": 1}),
        (lambda: [conv(size=5, out=8)], {"conv_as_matmul": 1, "with_bias": 1}),
        # What the kernels do not know is torch's.
        (lambda: [conv(stride=2), nn.ReLU()], {"bias_relu": 1}),
        (lambda: [conv(dilation=2, padding=2, groups=4), nn.ReLU()], {"bias_relu": 1}),
        (lambda: [conv(padding_mode="circular"), nn.ReLU()], {"bias_relu": 1}),
        (lambda: [conv(3, stride=2), nn.ReLU()], {"bias_relu": 1}),
        (lambda: [conv(3, padding=0), nn.ReLU()], {"bias_relu": 1}),
        (lambda: [conv(3, padding_mode="reflect"), nn.ReLU()], {"bias_relu": 1}),
        (lambda: [conv(size=7, stride=2), nn.ReLU()], {"bias_relu": 1}),
        (lambda: [conv(size=5, padding=0), nn.ReLU()], {"bias_relu": 1}),
        (lambda: [conv(size=7, groups=16)], {"with_bias": 1}),
        (lambda: [conv(size=1, bias=False)], {}),
        (lambda: [conv(), nn.ReLU(), nn.MaxPool2d(3, 2)], {"bias_relu": 1}),
        (lambda: [conv(), nn.ReLU(), nn.MaxPool2d(2, 1)], {"bias_relu": 1}),
        (lambda: [conv(), nn.ReLU(), nn.MaxPool2d(2, padding=1)], {"bias_relu": 1}),
        (lambda: [conv(), nn.ReLU(), nn.MaxPool2d(2, dilation=2)], {"bias_relu": 1}),
        (lambda: [conv(), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)], {"bias_relu": 1}),
        (lambda: [conv(), nn.ReLU(), nn.AvgPool2d(2)], {"bias_relu": 1}),
        (lambda: [conv(bias=False), nn.ReLU()], {}),
        (lambda: [conv(), nn.BatchNorm2d(16), nn.ReLU()], {"conv_norm": 1}),
        (lambda: [conv(bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.MaxPool2d(2)], {"conv_norm": 1}),
        (lambda: [conv(bias=False), nn.BatchNorm2d(16), nn.Sigmoid()], {"conv_norm": 1}),
        (lambda: [conv(3), nn.BatchNorm2d(16), nn.ReLU()], {"conv_norm": 1, "first_layer": 1}),
        (lambda: [conv(3, bias=False), nn.BatchNorm2d(16), nn.ReLU()], {"conv_norm": 1}),
        (lambda: [conv(size=7, out=8), nn.BatchNorm2d(8), nn.ReLU()], {"conv_norm": 1, "conv_as_matmul": 1}),
        (lambda: [conv(stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU()], {"conv_norm": 1}),
        (lambda: [conv(bias=False), nn.BatchNorm2d(16, momentum=None), nn.ReLU()], {}),
        (lambda: [conv(bias=False), nn.GroupNorm(2, 16), nn.ReLU()], {}),
        (lambda: [conv(), nn.ReLU(), nn.BatchNorm2d(16)], {"bias_relu": 1}),
        (lambda: [conv(), nn.LeakyReLU()], {"with_bias": 1}),
    ],
)
@pytest.mark.parametrize("size", [(8, 6), (7, 10)])
def test_a_swapped_layer_computes_what_the_layers_do(kernels, layers, used, size) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*layers())
    image = torch.randn(2, network[0].in_channels, *size).contiguous(memory_format=LAST)
    expected = network(image)
    into = torch.randn_like(expected)
    gradients = torch.autograd.grad(expected, list(network.parameters()), into)
    assert len(accelerate(network)) == bool(used)
    result = network(image)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
    for mine, its in zip(torch.autograd.grad(result, list(network.parameters()), into), gradients, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-4)
    if size[0] % 2 and "bias_relu_pool" in used:  # the kernel takes whole squares
        used = {"bias_relu": 1}
    assert kernels == used


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_resnet_in_training_and_in_evaluation(kernels, name) -> None:
    torch.manual_seed(0)
    network = shortened(TorchvisionEncoder(name))
    plain = copy.deepcopy(network)
    swapped = accelerate(network)
    blocks, shortcuts = {"resnet18": (7, 3), "resnet50": (8, 4)}[name]
    assert len(swapped) == 1 + blocks + shortcuts
    assert list(network.state_dict()) == list(plain.state_dict())
    image = torch.randn(2, 3, 64, 96).contiguous(memory_format=LAST)
    for mine, its in zip(network(image), plain(image), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-2, atol=1e-2)  # few values in the last stage's batch
    assert kernels == {"conv_norm": sum(isinstance(layer, nn.BatchNorm2d) for layer in plain.modules())}
    for (key, mine), its in zip(network.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-4, msg=key)
    for mine, its in zip(network.eval()(image), plain.eval()(image), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-3)
    assert len(kernels) == 1
    restore(network)
    assert not any(isinstance(part, module.FusedBlock | module.ConvNorm) for part in network.modules())
    assert not any(part.training for part in network.modules())


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_resnet_with_its_normalisation_folded(kernels, monkeypatch, name) -> None:
    torch.manual_seed(0)
    network = TorchvisionEncoder(name).eval()
    for norm in (layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean, std=0.1)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    image = torch.randn(1, 3, 64, 96).contiguous(memory_format=LAST)
    expected = network(image)
    fold_batch_norm(network, [])
    plain = copy.deepcopy(network)
    accelerate(network)
    blocks = [part for part in network.modules() if isinstance(part, module.FoldedBlock)]
    assert len(blocks) == {"resnet18": 8, "resnet50": 16}[name]
    with torch.no_grad():
        found = network(image)
    for mine, its in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-3)
    assert kernels["finished"] == sum(len(module._folded(block)) for block in blocks)
    restore(network)
    for mine, its in zip(network(image), plain(image), strict=True):
        assert torch.equal(mine, its)


def test_a_frozen_normalisation_stays_frozen(kernels) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(TorchvisionEncoder("resnet18").features.layer1[0], conv(64, 8), nn.BatchNorm2d(8))
    network[0].bn1.eval()
    network[2].eval()
    plain = copy.deepcopy(network)
    accelerate(network)
    image = torch.randn(2, 64, 6, 8).contiguous(memory_format=LAST)
    torch.testing.assert_close(network(image), plain(image))
    for (key, mine), its in zip(network.state_dict().items(), plain.state_dict().values(), strict=True):
        assert torch.equal(mine, its), key
    assert kernels == {}


def test_a_block_with_a_hook_within_stays() -> None:
    network = TorchvisionEncoder("resnet18")
    network.features.layer1[0].bn2.register_forward_hook(lambda layer, given, result: None)
    swapped = accelerate(network)
    assert "features.layer1.0" not in swapped
    assert "features.layer1.1" in swapped


def test_biases_that_a_normalisation_takes_away_are_named() -> None:
    network = nn.Sequential(conv(), nn.BatchNorm2d(16), conv(bias=False), nn.BatchNorm2d(16), conv(), nn.ReLU())
    accelerate(network)
    assert idle_biases(network) == ["0.bias"]


def test_a_layer_with_a_hook_stays(kernels) -> None:
    seen: list[tuple[int, ...]] = []
    for hooked in range(3):
        network = nn.Sequential(conv(), nn.ReLU(), nn.MaxPool2d(2))
        network[hooked].register_forward_hook(lambda layer, given, result: seen.append(tuple(result.shape)))
        accelerate(network)
        network(torch.zeros(1, 16, 4, 4))
    assert seen == [(1, 16, 4, 4), (1, 16, 4, 4), (1, 16, 2, 2)]
    assert kernels == {"with_bias": 1, "bias_relu": 1}  # where the ReLU has the hook, and where the pooling has


def test_a_wide_kernel_over_a_large_map_is_torchs(kernels) -> None:
    network = nn.Sequential(conv(size=5, out=4))
    accelerate(network)
    network(torch.zeros(1, 16, 21, 4))
    assert kernels == {"with_bias": 1}


def test_replaced_parameters_reach_a_swapped_layer() -> None:
    network = nn.Sequential(conv(), nn.ReLU())
    accelerate(network)
    zeros = {name: torch.zeros_like(weight) for name, weight in network.named_parameters()}
    assert not torch.func.functional_call(network, zeros, (torch.ones(1, 16, 4, 4),)).any()
