"""What tells the decoders apart; what all have in common is in test_networks."""

from functools import partial

import pytest
import torch

from segkit.errors import UserError
from segkit.models.decoders.deeplabv3plus import DeepLabV3PlusDecoder
from segkit.models.decoders.fcn import FCNDecoder
from segkit.models.decoders.fpn import FPNDecoder
from segkit.models.decoders.layers import PyramidPooling
from segkit.models.decoders.unet import UNetDecoder
from segkit.models.fcn import FCN

CHANNELS, STRIDES = [4, 6, 8, 10, 12], [2, 4, 8, 16, 32]


def maps() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, c, 64 // s, 96 // s, generator=generator) for c, s in zip(CHANNELS, STRIDES, strict=True)]


@pytest.mark.parametrize(
    ("decoder", "stride"),
    [
        (partial(UNetDecoder, width=4), 2),
        (partial(FPNDecoder, width=8, head_width=8), 4),
        (partial(DeepLabV3PlusDecoder, width=8, low_width=4), 4),
    ],
)
def test_logits_come_at_the_stride_of_the_finest_map_used(decoder, stride) -> None:
    logits = decoder(channels=CHANNELS, strides=STRIDES, num_classes=3)(maps())
    assert logits.shape == (2, 3, 64 // stride, 96 // stride)


@pytest.mark.parametrize("decoder", [FPNDecoder, DeepLabV3PlusDecoder])
def test_the_auxiliary_head_speaks_in_training_alone_and_sees_the_second_coarsest_map(decoder) -> None:
    network = decoder(CHANNELS, STRIDES, 3, auxiliary=True)
    _, (auxiliary,) = network(maps())
    assert auxiliary.shape == (2, 3, 64 // 16, 96 // 16)
    assert isinstance(network.eval()(maps()), torch.Tensor)


@torch.no_grad()
def test_the_pyramids_levels_add_up_from_the_top() -> None:
    """With laterals of ones and heads that pass on, a level holds its own mean and those of all coarser ones."""
    decoder = FPNDecoder(CHANNELS, STRIDES, 1, width=1, head_width=1).eval()
    for lateral in decoder.laterals:
        lateral.weight.fill_(1)
        lateral.bias.zero_()
    seen = []
    for head in decoder.heads:
        head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    decoder([torch.full_like(m, i) for i, m in enumerate(maps())])
    sums = [i * CHANNELS[i] for i in range(1, 5)]
    assert [level.unique().tolist() for level in seen] == [[sum(sums[i:])] for i in range(4)]
    assert [level.shape[-1] for level in seen] == [24, 12, 6, 3]


@torch.no_grad()
def test_pyramid_pooling_brings_the_whole_picture_to_every_pixel() -> None:
    torch.manual_seed(0)
    pooling = PyramidPooling(8, 4).eval()
    image = torch.randn(1, 8, 12, 12)
    other = image.clone()
    other[..., 0, 0] += 100
    assert (pooling(other) - pooling(image))[..., 11, 11].abs().max() > 1e-3


@torch.no_grad()
def test_a_widths_channels_double_from_fine_to_coarse() -> None:
    decoder = UNetDecoder(CHANNELS, STRIDES, 3, width=4)
    assert [block[-1][0].out_channels for block in decoder.blocks] == [32, 16, 8, 4]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: FCN(2, encoder="resnet34"), ["resnet34 has no fc6", "model.fc_channels=null", "vgg16|vgg16_bn"]),
        (lambda: FCN(2, fc_channels=None, batch_norm_fc=True), ["model.batch_norm_fc=true", "fc_channels=null"]),
        (lambda: FCNDecoder(CHANNELS, [2, 4, 8, 16, 16], 2), ["model.stride=8", "32, 16, 8", "model.encoder=vgg16"]),
        (lambda: DeepLabV3PlusDecoder([8], [16], 2), ["stride 4", "16", "model.encoder=resnet50"]),
    ],
)
def test_what_does_not_fit_is_answered_with_what_would(build, words) -> None:
    with pytest.raises(UserError) as error:
        build()
    assert [word for word in words if word not in str(error.value)] == []
    assert len(str(error.value).splitlines()) <= 2
