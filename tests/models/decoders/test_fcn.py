import io
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from segkit.models.decoders.fcn import FCNDecoder
from segkit.models.encoders.features import IMAGENET_MEAN
from segkit.models.fcn import FCN
from segkit.optim.groups import parameter_groups

KINDS = list(product([8, 16, 32], ["vgg16", "vgg16_bn"], [None, 8]))


def picture(*size: int) -> torch.Tensor:
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def decoder_kernels(network: FCN) -> list[nn.Parameter]:
    return [parameter for parameter in network.decoder.parameters() if parameter.ndim > 1]


def loud(network: FCN) -> FCN:
    """Scores of the order of one: with the start's tiny ones, comparisons would hold within any tolerance."""
    with torch.no_grad():
        for kernel in decoder_kernels(network):
            kernel.mul_(30)
    return network


@pytest.fixture(scope="module")
def network() -> FCN:
    torch.manual_seed(0)
    return loud(FCN(3, encoder="vgg16_bn", fc_channels=8, skip_scale=(1, 1))).eval()


@pytest.mark.parametrize(("stride", "encoder", "fc_channels"), KINDS)
def test_every_network(stride, encoder, fc_channels):
    """Logits at the input's own odd size, gradients everywhere, channels_last, and the same logits from its file."""
    torch.manual_seed(0)
    network = loud(FCN(3, stride, encoder, fc_channels=fc_channels, skip_scale=(0.1, 0.1))).eval()
    image = picture(2, 3, 33, 70)

    logits = network(image)
    assert logits.shape == (2, 3, 33, 70)
    assert logits.dtype == torch.float32

    functional.cross_entropy(logits, picture(2, 33, 70).long() % 3).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []

    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    with torch.device("meta"):  # values that the file does not hold would stay without data
        other = FCN(3, stride, encoder, fc_channels=fc_channels, skip_scale=(0.1, 0.1)).eval()
    other.load_state_dict(torch.load(file, weights_only=True), assign=True)
    assert torch.equal(other(image), logits)

    other.to(memory_format=torch.channels_last)
    channels_last = other(image.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(channels_last, logits, rtol=1e-4, atol=1e-4 * logits.abs().max().item())


@pytest.mark.parametrize("size", [(1, 1), (7, 200), (32, 64), (31, 33)])
def test_any_size_goes_through(network, size):
    assert network(picture(1, 3, *size)).shape == (1, 3, *size)


def test_padding_is_the_mean_colour_on_the_right_and_at_the_bottom(network):
    image = picture(1, 3, 40, 70).float()
    padded = 255 * torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1).repeat(1, 1, 64, 96)
    padded[..., :40, :70] = image
    torch.testing.assert_close(network(image), network(padded)[..., :40, :70])


def test_bytes_and_floats_are_the_same_picture(network):
    image = picture(1, 3, 32, 64)
    assert torch.equal(network(image), network(image.float()))


def test_the_encoder_sees_normalised_values(network):
    seen = []
    with network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
        network(torch.tensor([0.0, 127.5, 255.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    red, green, blue = seen[0][0, :, 0, 0].tolist()
    assert red == pytest.approx((0 - 0.485) / 0.229)
    assert green == pytest.approx((0.5 - 0.456) / 0.224)
    assert blue == pytest.approx((1 - 0.406) / 0.225)


def test_fcn8s_has_the_known_size_and_work():
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = FCN(2)
        network(torch.zeros(1, 3, 160, 576, dtype=torch.uint8))
    assert sum(p.numel() for p in network.parameters()) == 134_271_436
    assert counter.get_total_flops() == pytest.approx(77.9e9, rel=1e-3)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_a_bilinear_start_is_bilinear_upsampling(stride):
    """Only the top speaks: what comes out is its score, upsampled as torch does it, up to the border's cells."""
    torch.manual_seed(0)
    decoder = FCNDecoder([256, 512, 4], [8, 16, 32], 3, stride, skip_scale=(0, 0), init="bilinear")
    top = torch.randn(2, 4, 5, 6)
    maps = [torch.randn(2, 256, 20, 24), torch.randn(2, 512, 10, 12), top]
    scores = decoder.score(top)
    if stride == 32:
        expected = functional.interpolate(scores, scale_factor=32, mode="bilinear")
    else:
        expected = functional.interpolate(scores, scale_factor=2, mode="bilinear")
        if stride == 8:
            expected = functional.interpolate(expected, scale_factor=2, mode="bilinear")
        expected = functional.interpolate(expected, scale_factor=stride, mode="bilinear")
    inside = (..., slice(32, -32), slice(32, -32))
    torch.testing.assert_close(decoder(maps)[inside], expected[inside])


def test_a_bilinear_start_keeps_a_linear_ramp_linear():
    decoder = FCNDecoder([256, 512, 1], [8, 16, 32], 1, 32, init="bilinear")
    with torch.no_grad():
        decoder.score.weight.fill_(1)
        ramp = torch.arange(6.0).expand(1, 1, 6, 6)
        logits = decoder([torch.zeros(1, 256, 24, 24), torch.zeros(1, 512, 12, 12), ramp])[0, 0]
    # Cell k covers pixels 32k … 32k + 31, so its value stands at 32k + 15.5.
    expected = (torch.arange(192) - 15.5) / 32
    torch.testing.assert_close(logits[32:160, 32:160], expected[32:160].expand(128, 128))


def test_a_normal_start_has_the_papers_spread():
    torch.manual_seed(0)
    decoder = FCNDecoder([256, 512, 4096], [8, 16, 32], 8)
    for module in (m for m in decoder.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)):
        assert module.weight.std().item() == pytest.approx(0.01, rel=0.1)
        assert not module.bias.any()


def test_skips_are_scaled_before_their_scores_and_summed_where_they_belong():
    """Scores of ones and upsampling by copies of the kernel's sum make the sum countable by hand."""
    decoder = FCNDecoder([2, 3, 5], [8, 16, 32], 1, 8, skip_scale=(0.1, 0.001))
    with torch.no_grad():
        for kernel in (decoder.score.weight, *(s.weight for s in decoder.skip_scores)):
            kernel.fill_(1)
        for layer in (*decoder.doubles, decoder.upsample):
            layer.weight.fill_(0.25)  # a pixel receives from 2×2 cells
        logits = decoder([torch.ones(1, 2, 16, 16), torch.ones(1, 3, 8, 8), torch.ones(1, 5, 4, 4)])
    assert logits.shape == (1, 1, 128, 128)
    assert logits[0, 0, 64, 64].item() == pytest.approx(5 + 3 * 0.1 + 2 * 0.001)


@pytest.mark.parametrize(("stride", "kernels"), [(32, [1, 64]), (16, [1, 1, 4, 32]), (8, [1, 1, 1, 4, 4, 16])])
def test_kernels_of_the_decoder_alone_decay_by_its_own_factor(stride, kernels):
    with torch.device("meta"):
        network = FCN(2, stride)
    groups = parameter_groups(network, 1e-4, decoder_decay=1e-3)
    found = [p for group in groups if group["weight_decay"] == 1e-3 for p in group["params"]]
    assert sorted(k.shape[-1] for k in found) == kernels
    names = {id(p): name for name, p in network.named_parameters()}
    assert all(names[id(k)].startswith("decoder.") and names[id(k)].endswith(".weight") for k in found)


def test_another_decoder_can_take_its_place():
    class TopOnly(nn.Module):
        def __init__(self, width: int):
            super().__init__()
            self.score = nn.Conv2d(width, 2, 1)

        def forward(self, maps):
            return functional.interpolate(self.score(maps[-1]), scale_factor=32)

    network = FCN(3, fc_channels=8)
    network.decoder = TopOnly(network.encoder.channels[-1])
    assert network(picture(1, 3, 40, 50)).shape == (1, 2, 40, 50)
    assert [k.shape for k in decoder_kernels(network)] == [(2, 8, 1, 1)]


def test_training_steps_repeat_bit_for_bit():
    def step() -> list[torch.Tensor]:
        torch.manual_seed(3)
        copy = FCN(2, encoder="vgg16_bn", fc_channels=8, dropout=0.5).train()
        copy(picture(2, 3, 64, 64)).square().sum().backward()
        return [p.grad for p in copy.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(step(), step(), strict=True))


def test_autocast_decides_the_logits_dtype(network):
    with torch.autocast("cpu", torch.bfloat16):
        assert network(picture(1, 3, 32, 32)).dtype == torch.bfloat16


def test_it_compiles_in_one_graph(network):
    image = picture(1, 3, 40, 70)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(image), network(image))


def test_it_exports(network):
    image = picture(1, 3, 40, 70)
    exported = torch.export.export(network, (image,)).module()
    other = 255 - image
    torch.testing.assert_close(exported(other), network(other))
