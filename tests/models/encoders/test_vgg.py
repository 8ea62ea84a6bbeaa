import re

import pytest
import torch
from torchvision import models

from segkit.errors import UserError
from segkit.models.encoders.vgg import VGGEncoder
from segkit.models.weights import load_state


def torchvision_features(name: str) -> dict[str, torch.Tensor]:
    """A torchvision state dict without a classifier, every value of a tensor another."""
    with torch.device("meta"):
        expected = getattr(models, name)().features.state_dict(prefix="features.")
    return {key: torch.arange(value.numel()).view(value.shape).to(value.dtype) for key, value in expected.items()}


@pytest.fixture(scope="module")
def torchvision_vgg16(tmp_path_factory):
    """A whole random VGG16 of torchvision, and the file that it was saved in."""
    with torch.device("meta"):
        network = models.vgg16()
    network.to_empty(device="cpu").eval()
    # 138 M draws take long: one prime-sized block of them, repeated, gives no two rows of a kernel in step.
    block = torch.rand(1_000_003, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.no_grad():
        for parameter in network.parameters():
            repeats = parameter.numel() // block.numel() + 1
            parameter.copy_(block.repeat(repeats)[: parameter.numel()].view_as(parameter))
            if parameter.ndim > 1:  # Kaiming over the fan-in keeps the activations' scale through all layers
                parameter.mul_((24 / parameter[0].numel()) ** 0.5)
    file = tmp_path_factory.mktemp("vgg16") / "vgg16.pth"
    torch.save(network.state_dict(), file)
    yield network, file
    file.unlink()


@torch.no_grad()
def test_the_convolutional_fc7_equals_torchvisions_classifier(torchvision_vgg16):
    network, file = torchvision_vgg16
    with torch.device("meta"):
        encoder = VGGEncoder("vgg16", 4096).eval()
    load_state(encoder.to_empty(device="cpu"), torch.load(file, weights_only=True, mmap=True))
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))

    _, _, pool3, pool4, top = encoder(image)

    fc7 = network.classifier[:5](network.features(image).flatten(1))
    scale = fc7.abs().max()
    assert fc7.std() > 0.1 * scale
    assert top.shape == (1, 4096, 7, 7)
    # Only the centre's 7×7 window lies wholly inside the map: there fc6 sees what the classifier sees.
    assert (top[:, :, 3, 3] - fc7).abs().max() < 1e-4 * scale
    assert (top[:, :, 3, 2] - fc7).abs().max() > 1e-2 * scale
    torch.testing.assert_close(pool3, network.features[:17](image))
    torch.testing.assert_close(pool4, network.features[:24](image))


@pytest.mark.parametrize("name", ["vgg16", "vgg16_bn"])
@pytest.mark.parametrize("fc_channels", [None, 8])
def test_maps_have_the_promised_channels_and_strides(name, fc_channels):
    encoder = VGGEncoder(name, fc_channels).eval()
    maps = encoder(torch.randn(2, 3, 64, 96))
    assert encoder.channels == [64, 128, 256, 512, fc_channels or 512]
    assert encoder.strides == [2, 4, 8, 16, 32]
    shapes = zip(encoder.channels, encoder.strides, strict=True)
    assert [tuple(m.shape) for m in maps] == [(2, channels, 64 // stride, 96 // stride) for channels, stride in shapes]


def test_convolutions_start_kaiming_normal_as_in_torchvision():
    torch.manual_seed(0)
    encoder = VGGEncoder("vgg16_bn", fc_channels=64)
    for conv in (m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)):
        fan_out = conv.out_channels * conv.kernel_size[0] * conv.kernel_size[1]
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
        assert not conv.bias.any()
    for norm in (m for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        values = norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.num_batches_tracked
        assert [v.unique().tolist() for v in values] == [[1], [0], [0], [1], [0]]


def test_dropout_drops_single_values_and_scales_the_rest():
    torch.manual_seed(0)
    encoder = VGGEncoder("vgg16", fc_channels=16, dropout=0.5).train()
    with torch.no_grad():
        encoder.fc7.weight.zero_()
        encoder.fc7.bias.fill_(1)
        top = encoder(torch.randn(1, 3, 160, 160))[-1]
    assert set(top.unique().tolist()) == {0, 2}
    per_channel = top[0].flatten(1)
    assert ((per_channel == 0).any(1) & (per_channel != 0).any(1)).all()


@pytest.mark.parametrize("name", ["vgg16", "vgg16_bn"])
@pytest.mark.parametrize("fc_channels", [None, 8])
def test_features_load_and_narrower_fc_layers_stay_as_they_were(name, fc_channels):
    encoder = VGGEncoder(name, fc_channels)
    before = {k: v.clone() for k, v in encoder.state_dict().items() if k.startswith("fc")}
    state = torchvision_features(name)
    load_state(encoder, {**state, "classifier.6.bias": torch.zeros(1000)})
    after = encoder.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert all(torch.equal(after[k], v) for k, v in state.items() if not k.endswith("num_batches_tracked"))


@pytest.mark.parametrize(
    ("name", "source", "change", "reason"),
    [
        ("vgg16_bn", "vgg16", {}, "features.1.weight is missing"),
        ("vgg16", "vgg16_bn", {}, "features.2.weight is missing"),
        ("vgg16", "vgg19", {}, "features.17.weight is missing"),
        ("vgg16", "vgg16", {"features.99.weight": torch.zeros(1)}, "features.99.weight has no place"),
        ("vgg16", "vgg16", {"features.28.bias": torch.zeros(3)}, "features.28.bias has shape (3,) instead of (512,)"),
        (
            "vgg16",
            "vgg16",
            {"classifier.0.bias": torch.tensor([torch.nan])},
            "classifier.0.bias holds values that are not",
        ),
    ],
    ids=["vgg16", "vgg16_bn", "vgg19", "surplus", "shape", "nan"],
)
def test_weights_of_another_network_are_refused_and_change_nothing(name, source, change, reason):
    state = torchvision_features(source) | change
    encoder = VGGEncoder(name, fc_channels=8)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    with pytest.raises(UserError, match=re.escape(reason)) as error:
        load_state(encoder, state)
    assert "model.weights" in str(error.value)
    assert f"model.encoder={name}" in str(error.value)
    assert len(str(error.value).splitlines()) <= 2
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())


def test_full_width_fc_layers_are_never_left_random_by_a_file_without_a_classifier():
    with torch.device("meta"):
        encoder = VGGEncoder("vgg16", fc_channels=4096)
    with pytest.raises(UserError, match=r"classifier\.0\.weight is missing"):
        load_state(encoder, torchvision_features("vgg16"))
