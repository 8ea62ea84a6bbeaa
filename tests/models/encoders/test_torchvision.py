import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models._utils import IntermediateLayerGetter

from segkit.errors import UserError
from segkit.models.encoders import TORCHVISION_NAMES, build_encoder
from segkit.models.encoders.features import first_kernel
from segkit.models.weights import load_state

STAGES = {
    name: ["relu", "layer1", "layer2", "layer3", "layer4"] for name in TORCHVISION_NAMES if name.startswith("resnet")
}


def whole(name: str, **options) -> nn.Module:
    """torchvision's network, whose batch normalisation has statistics of its own in every channel."""
    torch.manual_seed(0)
    network = getattr(models, name)(weights=None, **options).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return network


def picture(channels: int = 3) -> torch.Tensor:
    return torch.randn(2, channels, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", TORCHVISION_NAMES)
@torch.no_grad()
def test_with_torchvisions_weights_it_gives_torchvisions_maps(name) -> None:
    network = whole(name)
    encoder = build_encoder(name).eval()
    load_state(encoder, network.state_dict())
    maps = encoder(picture())
    assert [m.shape for m in maps] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(encoder.channels, encoder.strides, strict=True)
    ]
    top = network.features(picture()) if name not in STAGES else None
    if top is None:
        expected = IntermediateLayerGetter(network, {stage: stage for stage in STAGES[name]})(picture())
        for result, stage in zip(maps, STAGES[name], strict=True):
            assert torch.equal(result, expected[stage])
    else:
        assert torch.equal(maps[-1], top)


@torch.no_grad()
def test_dilation_is_torchvisions() -> None:
    network = whole("resnet50", replace_stride_with_dilation=[False, False, True])
    encoder = build_encoder("resnet50", output_stride=16).eval()
    load_state(encoder, network.state_dict())
    assert encoder.strides == [2, 4, 8, 16, 16]
    expected = IntermediateLayerGetter(network, {"layer4": "top"})(picture())["top"]
    assert torch.equal(encoder(picture())[-1], expected)


@pytest.mark.parametrize("name", ["vgg16", "resnet18", "mobilenet_v3_large", "convnext_tiny", "timm/resnet10t"])
@torch.no_grad()
def test_further_input_channels_leave_pretrained_weights_as_they_were_on_rgb(name) -> None:
    three, five = build_encoder(name).eval(), build_encoder(name, in_channels=5).eval()
    load_state(
        five, {key.removeprefix("features.") if "resnet" in name else key: v for key, v in three.state_dict().items()}
    )
    assert five.in_channels == len(five.mean) == len(five.std) == 5
    image = picture(5)
    for result, expected in zip(five(image), three(image[:, :3]), strict=True):
        torch.testing.assert_close(result, expected)


def test_fewer_input_channels_add_up_to_what_grey_pictures_gave() -> None:
    kernel = torch.randn(4, 3, 7, 7)
    torch.testing.assert_close(first_kernel(kernel, 1), kernel.sum(1, keepdim=True))
    torch.testing.assert_close(first_kernel(kernel, 2).sum(1), kernel.sum(1))


@pytest.mark.parametrize(
    ("name", "stride", "words"),
    [
        (
            "resnet19",
            32,
            ["model.encoder=resnet19: no such encoder; did you mean resnet18?", "convnext_tiny", "timm/<name>"],
        ),
        ("vgg16", 16, ["model.output_stride=16", "vgg16 cannot", "output_stride=32", "resnet50"]),
        ("convnext_tiny", 16, ["convnext_tiny cannot", "mobilenet_v3_large"]),
    ],
)
def test_what_there_is_not_is_named_with_what_there_is(name, stride, words) -> None:
    with pytest.raises(UserError) as error:
        build_encoder(name, output_stride=stride)
    assert [word for word in words if word not in str(error.value)] == []
    assert len(str(error.value).splitlines()) <= 2


def test_weights_of_a_larger_network_are_refused() -> None:
    encoder = build_encoder("resnet18")
    with pytest.raises(UserError, match=r"model.encoder=resnet18: .*has no place in it"):
        load_state(encoder, models.resnet34(weights=None, num_classes=1).state_dict())
