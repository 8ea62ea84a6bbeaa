"""Batch normalisation in few passes, held against torch's."""

import copy
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from segkit.speed import fused_norm
from segkit.speed.fused_norm import conv_norm, twin

pytest.importorskip("triton", reason="Triton comes with torch's CUDA builds alone")
LAST = torch.channels_last


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The GPU where there is one, its convolutions without TF32; else Triton's interpreter."""
    monkeypatch.setattr("torch.backends.cudnn.allow_tf32", False)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        yield


@pytest.fixture(autouse=True, params=["in several kernels", "in one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways, each program taking several tiles."""
    monkeypatch.setattr("segkit.speed.triton_norm.PROGRAMS", 3)
    monkeypatch.setattr("segkit.speed.triton_small_norm.ROWS", 0 if request.param == "in several kernels" else 1 << 20)


def layers(inside: int, out: int, bias: bool) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv = nn.Conv2d(inside, out, 3, padding=1, bias=bias)
    norm = nn.BatchNorm2d(out, momentum=0.3)
    for values in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(values)
    return conv.to(memory_format=LAST), norm  # type: ignore[call-overload]


@pytest.mark.parametrize("shape", [(2, 8, 5, 4), (1, 24, 3, 2), (3, 80, 4, 7), (1, 3, 16, 20)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("with_sum", [True, False])
def test_it_computes_what_torch_does(shape, bias, relu, with_sum) -> None:
    torch.manual_seed(0)
    conv, norm = layers(shape[1], 32, bias)
    expected_norm = copy.deepcopy(norm)
    image = (3 + torch.randn(shape)).contiguous(memory_format=LAST).requires_grad_()
    added = torch.randn(shape[0], 32, *shape[2:]).contiguous(memory_format=LAST).requires_grad_() if with_sum else None

    result = conv_norm(image, conv, norm, added, relu)
    expected = expected_norm(conv(image)) + (0 if added is None else added)
    expected = expected.relu() if relu else expected

    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
    assert result.is_contiguous(memory_format=LAST)
    torch.testing.assert_close(norm.running_mean, expected_norm.running_mean)
    torch.testing.assert_close(norm.running_var, expected_norm.running_var, rtol=1e-4, atol=1e-6)
    assert norm.num_batches_tracked == 1
    into = torch.randn_like(expected)
    inputs = [image, *conv.parameters(), *norm.parameters(), *([] if added is None else [added])]
    others = [image, *conv.parameters(), *expected_norm.parameters(), *([] if added is None else [added])]
    wanted = torch.autograd.grad(expected, others, into)
    for mine, its in zip(torch.autograd.grad(result, inputs, into), wanted, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("used", ["both", "the map alone", "the twin alone"])
def test_the_gradients_of_a_map_and_of_its_twin_are_added(used) -> None:
    torch.manual_seed(0)
    conv, norm = layers(8, 16, bias=False)
    image, added = (torch.randn(2, c, 5, 4).contiguous(memory_format=LAST) for c in (8, 16))
    result = conv_norm(image, conv, norm, added)
    assert twin(result) is not result
    assert torch.equal(twin(result), result)
    assert twin(image) is image
    shares = {"both": (1, 2), "the map alone": (1, 0), "the twin alone": (0, 2)}[used]
    expected = sum(shares) * (norm(conv(image)) + added).relu()
    into = torch.randn_like(result)
    mine = sum(share * part for share, part in zip(shares, (result, twin(result)), strict=True) if share)
    wanted = torch.autograd.grad(expected, [*conv.parameters(), *norm.parameters()], into)
    for found, its in zip(
        torch.autograd.grad(mine, [*conv.parameters(), *norm.parameters()], into), wanted, strict=True
    ):
        torch.testing.assert_close(found, its, rtol=1e-3, atol=2e-4)


def test_a_map_and_its_twin_are_given_up_with_the_graph() -> None:
    conv, norm = layers(8, 16, bias=False)
    image, added = (torch.randn(2, c, 5, 4).contiguous(memory_format=LAST) for c in (8, 16))
    result = conv_norm(image, conv, norm, added)
    held = weakref.ref(result)
    (result + twin(result)).sum().backward()
    del result
    assert held() is None


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 1, 4), (2, 3, 1), (1, 1, 4), (2, 1, 1)])
def test_gradients_that_lie_apart_in_memory(shape) -> None:
    """As those of a map that was put beside another one."""
    torch.manual_seed(0)
    conv, norm = layers(8, 16, bias=False)
    image = torch.randn(shape[0], 8, *shape[1:]).contiguous(memory_format=LAST)
    parameters = [*conv.parameters(), *norm.parameters()]
    beside = torch.randn(shape[0], 7, *shape[1:])
    into = torch.randn(shape[0], 23, *shape[1:]).contiguous(memory_format=LAST)
    both = [
        torch.cat([beside, part(image)], 1)
        for part in (lambda x: conv_norm(x, conv, norm, relu=False), lambda x: norm(conv(x)))
    ]
    mine, wanted = (torch.autograd.grad(result, parameters, into) for result in both)
    for found, its in zip(mine, wanted, strict=True):
        torch.testing.assert_close(found, its, rtol=1e-3, atol=2e-3)


def test_a_large_mean_hides_no_small_deviation() -> None:
    torch.manual_seed(0)
    conv, norm = layers(8, 8, bias=False)
    nn.init.dirac_(conv.weight)
    image = (1000 + 0.1 * torch.randn(2, 8, 16, 16)).contiguous(memory_format=LAST)
    expected = torch.nn.functional.batch_norm(image.double(), None, None, training=True, eps=norm.eps)
    expected = expected * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(conv_norm(image, conv, norm, relu=False), expected.float(), rtol=1e-2, atol=1e-2)


def test_what_is_no_number_stays_so() -> None:
    conv, norm = layers(8, 8, bias=False)
    image = torch.randn(1, 8, 4, 4).contiguous(memory_format=LAST)
    image[0, 0, 0, 0] = torch.nan
    assert conv_norm(image, conv, norm).isnan().all()


def test_a_single_value_per_channel_is_told_of_as_torch_does() -> None:
    conv, norm = layers(8, 8, bias=False)
    with pytest.raises(ValueError, match="single value per channel"):
        conv_norm(torch.randn(1, 8, 1, 1), conv, norm)


def test_twice_the_same_is_the_same_to_the_bit() -> None:
    torch.manual_seed(0)
    conv, norm = layers(8, 16, bias=True)
    image = torch.randn(3, 8, 9, 7).contiguous(memory_format=LAST)

    def gradients() -> list[Tensor]:
        result = conv_norm(image, conv, norm)
        return [result, *torch.autograd.grad(result.square().sum(), [conv.weight, norm.weight, norm.bias])]

    for one, other in zip(gradients(), gradients(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("norm", "usual"),
    [
        (nn.BatchNorm2d(4), True),
        (nn.BatchNorm2d(4, momentum=None), False),
        (nn.BatchNorm2d(4, affine=False), False),
        (nn.BatchNorm2d(4, track_running_stats=False), False),
        (nn.BatchNorm2d(4).half(), False),
        (nn.SyncBatchNorm(4), False),
        (nn.GroupNorm(2, 4), False),
    ],
)
def test_only_usual_batch_normalisation_is_taken(norm, usual) -> None:
    assert fused_norm.is_usual(norm) is usual
